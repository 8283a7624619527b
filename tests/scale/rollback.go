package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
)

// beginning is the name of the checkpoint that is taken before an installation is filled.
const beginning = "the beginning"

// few is how many operations a small rollback undoes.
const few = 10

// rollbacks measures checkpoints and small rollbacks over a long history.
func (in *installation) rollbacks(ctx context.Context, s *scale) error {
	api := in.Orch(in.Token)
	first, err := in.oldest(ctx)
	if err != nil {
		return err
	}
	var last string
	if err := s.median("checkpoint_create", func() (time.Duration, error) {
		began := time.Now()
		last, err = api.CreateCheckpoint(ctx, "now", "", "")
		return time.Since(began), err
	}); err != nil {
		return err
	}
	behind := 0
	for _, c := range []struct{ name, id string }{{"checkpoint_show_the_last", last}, {"checkpoint_show_the_beginning", first}} {
		if _, err := in.page(ctx, s, c.name, in.Orchestrator.Address, "/rollback/checkpoints/"+c.id, 0, 200); err != nil {
			return err
		}
		if behind, err = in.behind(ctx, c.id); err != nil {
			return err
		}
		if c.id == last && behind != 0 {
			return wrong("%d operations behind the newest checkpoint", behind)
		}
	}
	undone := s.servers - behind // by earlier runs, the first ones made
	if undone < 0 || undone > s.servers/2 {
		return wrong("%d operations behind the beginning, %d servers were made", behind, s.servers)
	}
	round := 0
	if err := s.median(fmt.Sprintf("rollback_of_%d_operations_to_a_checkpoint", few), func() (time.Duration, error) {
		point, err := api.CreateCheckpoint(ctx, "a few", "", "")
		if err == nil {
			round++
			from := s.tasks + round*perBatch
			err = in.batch(ctx, from, few, from+few)
		}
		if err != nil {
			return 0, err
		}
		return in.rollback(ctx, client.RollbackRequest{CheckpointID: point}, few)
	}); err != nil {
		return err
	}
	if err := s.median("rollback_of_an_old_operation_by_name", func() (time.Duration, error) {
		undone++
		return in.rollback(ctx, client.RollbackRequest{OperationIDs: []string{fmt.Sprintf("s-%07d", undone-1)}}, 1)
	}); err != nil {
		return err
	}
	if now, err := in.behind(ctx, first); err != nil || now != s.servers-undone {
		return wrong("%d operations behind the beginning in the end, want %d: %v", now, s.servers-undone, err)
	}
	return nil
}

// whole fills an installation with servers and undoes them all.
func whole(ctx context.Context, s *scale) (err error) {
	in, err := s.install(ctx, "rollback")
	if in != nil {
		defer func() {
			if e := in.Close(); err == nil {
				err = e
			}
		}()
	}
	if err != nil {
		return err
	}
	api := in.Orch(in.Token)
	point, err := api.CreateCheckpoint(ctx, beginning, "", "")
	if err != nil {
		return err
	}
	if err := in.fill(ctx, s.servers, s.servers); err != nil {
		return err
	}
	took, err := in.rollback(ctx, client.RollbackRequest{CheckpointID: point}, s.servers)
	if err != nil {
		return err
	}
	s.print("rollback_of_everything", float64(s.servers)/took.Seconds(), "operations/s", 0)
	if n, err := in.behind(ctx, point); err != nil || n != 0 {
		return wrong("%d operations are left: %v", n, err)
	}
	return in.memory(s)
}

// rollback undoes, and wants that many operations undone.
func (in *installation) rollback(ctx context.Context, q client.RollbackRequest, want int) (time.Duration, error) {
	api := in.Orch(in.Token)
	api.HTTP = &http.Client{} // without a limit
	began := time.Now()
	r, err := api.ExecuteRollback(ctx, q, "")
	if err == nil && (!r.Success || r.OperationsExecuted != want) {
		err = wrong("the rollback of %+v came to %+v, want %d operations", q, r, want)
	}
	return time.Since(began), err
}

// oldest returns the id of the checkpoint that was taken before everything.
func (in *installation) oldest(ctx context.Context) (string, error) {
	all, err := in.Orch(in.Token).Checkpoints(ctx, client.Page{Limit: 1000})
	if err != nil {
		return "", err
	}
	for _, c := range slices.Backward(all.Rows) {
		if c.Name == beginning {
			return c.ID, nil
		}
	}
	return "", wrong("there is no checkpoint %q among %d", beginning, len(all.Rows))
}

// behind returns how many operations stand since a checkpoint.
func (in *installation) behind(ctx context.Context, checkpoint string) (int, error) {
	c, err := in.Orch(in.Token).Checkpoint(ctx, checkpoint)
	if err == nil && c.OperationsCount == nil {
		err = wrong("checkpoint %s without operations_count", checkpoint)
	}
	if err != nil {
		return 0, err
	}
	return *c.OperationsCount, nil
}

// median measures something as often as the others and prints the median.
func (s *scale) median(name string, once func() (time.Duration, error)) error {
	var took []float64
	for range looks {
		d, err := once()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		took = append(took, ms(d))
	}
	slices.Sort(took)
	s.print(name, took[len(took)/2], "ms", pageLimit)
	return nil
}

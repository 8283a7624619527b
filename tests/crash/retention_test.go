package crash

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/watch"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestRetention_killedWhilePruningLosesNothingThatMustStay is R02 and E03 of the bar in small:
// batches come, end and are pruned while the orchestrator is killed again and again. Afterwards
// only the newest are there, totals count all of them, events below the kept range are 410, and a
// rollback to a checkpoint from before everything undoes each server once.
func TestRetention_killedWhilePruningLosesNothingThatMustStay(t *testing.T) {
	for _, store := range []string{"embedded", "surrealdb"} {
		t.Run(store, func(t *testing.T) {
			const batches, size, keep, events = 20, 8, 5, 150
			random := rand.New(rand.NewPCG(seedOf(t), 3))
			o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir(), Env: []string{
				fmt.Sprintf("ORCHESTRATOR_RETENTION_RUNS_MAX=%d", keep), "ORCHESTRATOR_RETENTION_RUNS_MAX_AGE=1ms",
				fmt.Sprintf("ORCHESTRATOR_RETENTION_EVENTS_MAX=%d", events), "ORCHESTRATOR_RETENTION_EVENTS_MAX_AGE=1ms",
			}}
			w := newWorld(t, &o)
			if store == "surrealdb" {
				rigtest.UseSurreal(t, &o)
			}
			w.rig = rigtest.Start(t, o)
			ctx := t.Context()
			checkpoint, err := w.orch().CreateCheckpoint(ctx, "before everything", "", "")
			if err != nil {
				t.Fatal(err)
			}
			submitted := make(chan error, 1)
			ids := make([]string, batches)
			go func() {
				for i := range ids {
					if ids[i], err = w.small(i, size); err != nil {
						break
					}
				}
				submitted <- err
			}()
			died := 0
			for done := false; !done || died < 6; {
				select {
				case err := <-submitted:
					if err != nil {
						t.Fatal(err)
					}
					done = true
				case <-time.After(time.Duration(50+random.IntN(400)) * time.Millisecond):
					died++
					if err := w.rig.Orchestrator.Kill(); err != nil {
						t.Fatal(err)
					}
					w.startAgain(w.rig.Orchestrator)
				}
			}
			rigtest.Await(t, 2*time.Minute, "totals count every batch and task, and the newest are kept", func() bool {
				figures := w.figures()
				return figures[`orchestrator_retention_ever{class="runs",of="batch/completed"}`] == batches && figures[`orchestrator_retention_rows{class="runs"}`] == keep &&
					figures[`orchestrator_retention_ever{class="tasks",of="completed"}`] == batches*size && figures[`orchestrator_retention_pruned_total{class="runs"}`] == batches-keep
			})
			list, err := w.orch().Batches(ctx, "", client.Page{Limit: 100})
			if err != nil || len(list.Rows) != keep {
				t.Errorf("%d batches are listed, %v; want %d", len(list.Rows), err, keep)
			}
			old := map[string]bool{} // what ended first went first: a kill may let an early batch end late
			for _, id := range ids {
				old[id] = true
			}
			for _, b := range list.Rows {
				delete(old, b.BatchID)
			}
			for id := range old {
				if _, err := w.orch().Batch(ctx, id); !fault.Is(err, fault.NotFound) {
					t.Errorf("an old batch that is not listed: %v", err)
				}
			}
			w.belowTheKeptRange(events)
			c, err := w.orch().Checkpoint(ctx, checkpoint)
			if err != nil || c.OperationsCount == nil || *c.OperationsCount != batches*size || c.HeldOperations != batches*size {
				t.Errorf("the checkpoint says %+v, %v", c, err)
			}
			out, err := w.orch().ExecuteRollback(ctx, client.RollbackRequest{CheckpointID: checkpoint}, "all of it")
			if err != nil || out.OperationsExecuted != batches*size || out.OperationsFailed != 0 {
				t.Errorf("the rollback says %+v, %v", out, err)
			}
			gone := map[string]int{}
			w.lines(w.state, func(raw []byte) error {
				var line struct {
					Gone   bool
					Server struct{ Name string }
				}
				err := json.Unmarshal(raw, &line)
				if line.Gone {
					gone[line.Server.Name]++
				}
				return err
			})
			for name, n := range gone {
				if n != 1 {
					t.Errorf("%s was removed %d times", name, n)
				}
			}
			if len(gone) != batches*size {
				t.Errorf("%d servers were removed, want %d", len(gone), batches*size)
			}
			if err := w.orch().DeleteCheckpoint(ctx, checkpoint); err != nil {
				t.Error(err)
			}
			rigtest.Await(t, time.Minute, "nothing is held without a checkpoint", func() bool {
				return w.figures()[`orchestrator_retention_rows{class="effects"}`] == 0
			})
			w.verify()
		})
	}
}

// small submits the n-th batch of so many servers, however often the service dies meanwhile.
func (w *world) small(n, size int) (batchID string, err error) {
	var operations []map[string]any
	for i := range size {
		operations = append(operations, map[string]any{"id": fmt.Sprintf("s%02d", i), "type": "server_batch", "provider": "cloud",
			"server_configs": []map[string]string{{"name": fmt.Sprintf("server-%03d-%02d", n, i), "plan": "1xCPU-2GB", "zone": "de-fra1"}}})
	}
	definition, err := json.Marshal(map[string]any{"name": fmt.Sprintf("batch-%03d", n), "parallel_limit": size, "operations": operations})
	if err != nil {
		return "", err
	}
	err = again(w.t.Context(), func() error {
		b, err := w.orch().SubmitBatch(w.t.Context(), definition, fmt.Sprintf("key-%03d", n))
		batchID = b.BatchID
		return err
	})
	return batchID, err
}

var figure = regexp.MustCompile(`(?m)^(orchestrator_retention_\w+\{[^}]*\}) (\S+)$`)

// figures returns the metrics of retention.
func (w *world) figures() map[string]float64 {
	w.t.Helper()
	all := map[string]float64{}
	answer := rigtest.Send(w.t, http.MethodGet, w.rig.Orchestrator.Address+"/metrics", w.rig.Token.Reveal(), nil)
	for _, m := range figure.FindAllStringSubmatch(string(answer.Raw), -1) {
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			w.t.Fatal(err)
		}
		all[m[1]] = v
	}
	return all
}

// belowTheKeptRange asks for events from the beginning, and from the earliest that the answer
// names.
func (w *world) belowTheKeptRange(events int) {
	w.t.Helper()
	ask := func(since uint64) rigtest.Answer {
		return rigtest.Send(w.t, http.MethodGet, fmt.Sprintf("%s/ws?since=%d", w.rig.Orchestrator.Address, since), w.rig.Token.Reveal(),
			nil,
			"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
	}
	_, head := w.place(w.t.Context())
	var told struct {
		Earliest uint64
		Epoch    string
	}
	answer := ask(0)
	if err := json.Unmarshal(answer.Raw, &told); err != nil || answer.Status != http.StatusGone || told.Epoch == "" || told.Earliest < 2 ||
		head-told.Earliest > uint64(events) {
		w.t.Errorf("since=0 is answered %d %s; the stream ends with %d", answer.Status, answer.Raw, head)
	}
	if answer := ask(told.Earliest - 2); answer.Status != http.StatusGone {
		w.t.Errorf("since=%d is answered %d, kept from %d on", told.Earliest-2, answer.Status, told.Earliest)
	}
	conn, err := watch.Dial(w.t.Context(), w.rig.Orchestrator.Address+"/ws", w.rig.Token.Reveal(), told.Earliest-1, told.Epoch, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if e, err := conn.Next(w.t.Context()); err != nil || e.Sequence != told.Earliest {
		w.t.Errorf("the earliest is said to be %d and is %d, %v", told.Earliest, e.Sequence, err)
	}
}

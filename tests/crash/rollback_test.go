package crash

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestCrash_rollbackIsFinished is the bar's X06 with real kills: the orchestrator dies again and
// again while it undoes, in more than one wave.
func TestCrash_rollbackIsFinished(t *testing.T) {
	random := rand.New(rand.NewPCG(seedOf(t), 2))
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()}
	w := newWorld(t, &o)
	w.rig = rigtest.Start(t, o)
	ctx := t.Context()
	checkpoint, err := w.orch().CreateCheckpoint(ctx, "an empty fleet", "", "")
	if err != nil {
		t.Fatal(err)
	}
	const (
		chain  = 12 // operations, each of three servers and each after the one before
		fleets = 16 // operations that need nothing, of so many servers each that all are more than a wave
		ships  = 130
	)
	var operations []map[string]any
	for i := range fleets {
		var servers []map[string]string
		for s := range ships {
			servers = append(servers, map[string]string{"name": fmt.Sprintf("fleet-%02d-%d", i, s), "plan": "1xCPU-2GB", "zone": "de-fra1"})
		}
		operations = append(operations, map[string]any{"id": fmt.Sprintf("fleet-%02d", i), "type": "server_batch", "provider": "cloud",
			"server_configs": servers})
	}
	for i := range chain {
		var servers []map[string]string
		for s := range 3 {
			servers = append(servers, map[string]string{"name": fmt.Sprintf("link-%02d-%d", i, s), "plan": "1xCPU-2GB", "zone": "de-fra1"})
		}
		dependencies := []string{}
		if i > 0 {
			dependencies = append(dependencies, fmt.Sprintf("link-%02d", i-1))
		}
		operations = append(operations, map[string]any{"id": fmt.Sprintf("link-%02d", i), "type": "server_batch", "provider": "cloud",
			"dependencies": dependencies, "server_configs": servers})
	}
	definition, err := json.Marshal(map[string]any{"name": "chain", "version": "1.0.0", "storage_backend": "filesystem",
		"parallel_limit": 17, "rollback_enabled": true, "operations": operations})
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.orch().SubmitBatch(ctx, definition, "")
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); b.Status != "Completed"; clock.Pause(ctx, 50*time.Millisecond, nil) {
		if b, err = w.orch().Batch(ctx, b.BatchID); err != nil || time.Since(began) > time.Minute {
			t.Fatalf("%+v %v", b, err)
		}
	}
	done := make(chan error, 1)
	var out client.Rollback
	go func() { // repeated with its key, as a client does whose connection broke
		done <- again(ctx, func() (err error) {
			out, err = w.orch().ExecuteRollback(ctx, client.RollbackRequest{CheckpointID: checkpoint}, "the rollback")
			return err
		})
	}()
	died := 0
	for ended := false; !ended; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			ended = true
		case <-time.After(time.Duration(20+random.IntN(200)) * time.Millisecond):
			if died == 6 {
				continue
			}
			died++
			if err := w.rig.Orchestrator.Kill(); err != nil {
				t.Fatal(err)
			}
			w.startAgain(w.rig.Orchestrator)
		}
	}
	if died == 0 {
		t.Error("the rollback ended before the first kill: nothing is shown about kills")
	}
	if !out.Success || out.OperationsExecuted != chain+fleets || out.OperationsFailed != 0 {
		t.Errorf("the rollback says %+v, want %d operations undone", out, chain+fleets)
	}
	w.undone(chain, 3*chain+fleets*ships)
	t.Logf("killed %d times; %d operations undone in %.2f s", died, out.OperationsExecuted, out.Duration)
	w.verify()
}

// undone holds the provider's records against what the rollback must have done: all those servers
// removed once, of the chain the later links first.
func (w *world) undone(chain, servers int) {
	w.t.Helper()
	gone, last := map[string]int{}, chain
	w.lines(w.state, func(raw []byte) error { // written with the effect; a kill may come before the call's record
		var line struct {
			Gone   bool
			Server struct{ Name string }
		}
		err := json.Unmarshal(raw, &line)
		if !line.Gone {
			return err
		}
		name, link := line.Server.Name, 0
		if gone[name]++; !strings.HasPrefix(name, "link-") {
			return err
		}
		if _, err := fmt.Sscanf(name, "link-%02d-", &link); err != nil {
			return err
		}
		if link > last {
			w.t.Errorf("%s was removed after a server of link %d", name, last)
		}
		last = link
		return err
	})
	for name, n := range gone {
		if n != 1 {
			w.t.Errorf("%s was removed %d times", name, n)
		}
	}
	if len(gone) != servers {
		w.t.Errorf("%d servers were removed, want %d", len(gone), servers)
	}
}

package crash

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestStandby_secondOrchestratorOnOneDatabase is decision 43 and the bar's D17: a second instance
// on the same SurrealDB is refused with the reason; as a standby it answers and waits, and serves
// what the first one stored when that one has ended.
func TestStandby_secondOrchestratorOnOneDatabase(t *testing.T) {
	t.Parallel()
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()}
	rigtest.UseSurreal(t, &o)
	r := rigtest.Start(t, o)
	second := *r.Orchestrator
	second.Name, second.Address, second.Log = "second", "", filepath.Join(o.Dir, "second.log")
	second.Args = slices.Clone(second.Args)
	second.Args[slices.Index(second.Args, filepath.Join(o.Dir, "orchestrator"))] = filepath.Join(o.Dir, "second")
	err := second.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "written by another instance") || !strings.Contains(err.Error(), "--standby") ||
		!strings.Contains(err.Error(), "exit status 1") {
		t.Fatalf("a second orchestrator: %v", err)
	}
	api := &client.Client{Base: r.Orchestrator.Address, Token: r.Token}
	if _, err := api.CreateCheckpoint(t.Context(), "by the first", "", ""); err != nil {
		t.Fatal(err)
	}
	second.Args = append(second.Args, "--standby")
	const address = "127.0.0.1:0"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	started := make(chan error, 1)
	go func() { started <- second.StartOn(ctx, address) }()
	defer func() {
		if code, err := second.Stop(); code != 0 || err != nil {
			t.Errorf("the second one ended with %d, %v", code, err)
		}
	}()
	select {
	case err := <-started:
		t.Fatalf("the standby serves beside the first one: %v", err)
	case <-time.After(2 * time.Second): // long enough for two looks at the lease
	}
	if code, err := r.Orchestrator.Stop(); code != 0 || err != nil {
		t.Fatalf("the first one ended with %d, %v", code, err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	// The folder of a stopped service knows that its store is elsewhere.
	if _, err := r.Run(t.Context(), "orchestrator", "audit", "verify", "--data", filepath.Join(o.Dir, "orchestrator")); err == nil ||
		!strings.Contains(err.Error(), "give --store surrealdb://") {
		t.Errorf("audit verify without --store: %v", err)
	}
	list, err := (&client.Client{Base: second.Address, Token: r.Token}).Checkpoints(t.Context(), client.Page{})
	if err != nil || len(list.Rows) != 1 || list.Rows[0].Name != "by the first" {
		t.Errorf("the second one shows %v, %v", list.Rows, err)
	}
	resp, err := http.Get(second.Address + "/health")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if !strings.Contains(string(body), "healthy") {
		t.Errorf("health after the take-over: %s", body)
	}
}

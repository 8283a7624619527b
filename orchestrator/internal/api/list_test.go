package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/web"
)

// TestListBatches_carriesSoManyOperationsAndNoMore lists batches of 2,000 operations each.
func TestListBatches_carriesSoManyOperationsAndNoMore(t *testing.T) {
	t.Parallel()
	db := memstore.New(store.Schema{Service: "orchestrator", Kinds: run.Schema()})
	a := &API{Engine: engine.New(engine.Config{DB: db})}
	put := func(kind, key string, v any, index ...store.IndexKey) store.Write {
		body, err := canonical.Make(v)
		if err != nil {
			t.Fatal(err)
		}
		return store.Write{Key: store.Key{Kind: kind, ID: key}, Expect: store.Absent(), Index: index, Body: body}
	}
	const batches, operations = 7, 2000
	var runs []string
	for range batches {
		run := id.New()
		runs = append([]string{run}, runs...)
		h := dag.Header{Counts: dag.Counts{Completed: operations - 1, Failed: 1}, ID: run, Kind: dag.Batch, State: dag.Failed}
		writes := []store.Write{put("run", run, h, store.IndexKey{Name: "kind", Value: "batch"},
			store.IndexKey{Name: "status", Value: "batch/Failed"})}
		for n := range operations {
			writes = append(writes, put("task", id.Within(run, n),
				dag.Task{Batch: true, CreatedAt: time.Unix(1, 0).UTC(), ID: id.Within(run, n), Number: n, Operation: "x", Run: run,
					State: dag.Succeeded}))
		}
		if _, err := db.Commit(t.Context(), store.Batch{Writes: writes}); err != nil {
			t.Fatal(err)
		}
	}
	for _, status := range []string{"", "Failed"} {
		var seen []string
		in := listBatchesIn{Paging: web.Paging{Limit: 50}, Status: status, View: "full"}
		for {
			page, err := a.listBatches(t.Context(), in)
			if err != nil || len(page.Items) == 0 || len(page.Items) > maxListed/operations || page.Total != batches || page.Next != "" &&
				page.Limit != len(page.Items) {
				t.Fatalf("%d batches of %d, limit %d: %v", len(page.Items), page.Total, page.Limit, err)
			}
			for _, b := range page.Items {
				if seen = append(seen, b.BatchID); len(b.Operations) != operations || b.Counts != nil {
					t.Errorf("%d operations", len(b.Operations))
				}
			}
			if in.After = page.Next; in.After == "" {
				break
			}
		}
		if strings.Join(seen, " ") != strings.Join(runs, " ") {
			t.Errorf("met %v, there are %v", seen, runs)
		}
		page, err := a.listBatches(t.Context(), listBatchesIn{Paging: web.Paging{Limit: 50}, Status: status, View: "summary"})
		body, _ := json.Marshal(page.Items)
		if err != nil || len(page.Items) != batches || page.Next != "" || len(body) > 1000*batches ||
			*page.Items[0].Counts != (countsView{Total: operations, Completed: operations - 1, Failed: 1}) ||
			strings.Contains(string(body), "operations\":") {
			t.Errorf("summary: %d batches, %d bytes, %v", len(page.Items), len(body), err)
		}
	}
}

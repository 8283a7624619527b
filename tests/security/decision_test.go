package security

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestDecision_anActIsRecordedWithAllThatWasAsked submits a batch on many servers: of the decision
// only the last server was kept, without the name of who asked. The second batch asks about more
// than an entry takes.
func TestDecision_anActIsRecordedWithAllThatWasAsked(t *testing.T) {
	for _, n := range []int{3, 900} {
		var configs, operations []any
		server := func(i int) string { return fmt.Sprintf("decided-%d-of-%d-with-a-long-name", i, n) }
		for i := range n {
			configs = append(configs, map[string]any{"name": server(i), "plan": "1xCPU-2GB", "zone": "de-fra1"})
			if len(configs) == 225 || i == n-1 {
				operations = append(operations,
					map[string]any{"id": fmt.Sprint("op", i), "type": "server_batch", "provider": "fast", "dependencies": []string{},
						"server_configs": configs})
				configs = nil
			}
		}
		name := fmt.Sprintf("decided-%d", n)
		a := rigtest.Send(t, http.MethodPost, shared.Orchestrator.Address+"/batch/execute", shared.Token.Reveal(), map[string]any{
			"name": name, "version": "1.0.0", "operations": operations})
		if a.Status/100 != 2 {
			t.Fatalf("%d: %s", a.Status, a.Raw)
		}
		var rows struct {
			Data []struct {
				Origin, Resource string
				Index            int
			}
		}
		rigtest.Await(t, 10*time.Second, "the submission is in the index", func() bool {
			got := rigtest.Send(t, http.MethodGet, shared.ControlCenter.Address+"/audit/logs?action=batch.create&limit=1",
				shared.Token.Reveal(), nil)
			return json.Unmarshal(got.Raw, &rows) == nil && len(rows.Data) == 1 &&
				strings.Contains(string(a.Raw), strings.TrimPrefix(rows.Data[0].Resource, "batches/"))
		})
		got := rigtest.Send(t, http.MethodGet, fmt.Sprintf("%s/audit/entries/%d/decision", shared.Orchestrator.Address, rows.Data[0].Index),
			shared.Token.Reveal(), nil)
		var d struct {
			Data struct {
				Allowed   bool
				Rule      string
				Subject   struct{ ID, Name, IP, Time string }
				Resources []struct{ Action, Type, Name string }
			}
		}
		if err := json.Unmarshal(got.Raw, &d); err != nil || got.Status != http.StatusOK {
			t.Fatalf("%d %s", got.Status, got.Raw)
		}
		s := d.Data.Subject
		if !d.Data.Allowed || d.Data.Rule == "" || s.Name != shared.Admin.Username || s.ID == "" || s.IP != "127.0.0.1" || s.Time == "" {
			t.Errorf("%d servers: %.500s", n, got.Raw)
		}
		if len(d.Data.Resources) != n+1 || d.Data.Resources[0].Name != name || d.Data.Resources[n].Name != server(n-1) {
			t.Errorf("%d servers: %d resources", n, len(d.Data.Resources))
		}
	}
}

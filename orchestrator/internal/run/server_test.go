package run

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

// TestListServers_findsWhatAScanFinds lists by all pairs of filters, page by page, and compares
// with a look at every server.
func TestListServers_findsWhatAScanFinds(t *testing.T) {
	t.Parallel()
	db := memstore.New(store.Schema{Service: "orchestrator", Kinds: Schema()})
	var changes []dag.Resource
	for i := range 7000 {
		one := dag.Resource{Kind: "server", Name: fmt.Sprintf("s-%04d", i), Provider: "p" + string(rune('0'+i%2))}
		one.Origin = dag.ResourceOrigin{Task: fmt.Sprint("t", i/10), Waited: i%3 > 0}
		if i == 5001 || i%500 == 3 {
			one.Origin.Infra = "rare"
		}
		changes = append(changes, one, dag.Resource{Kind: "taskserv", Name: one.Name + "/os", Provider: one.Provider})
	}
	for part := range slices.Chunk(changes, 2000) {
		if _, err := db.Commit(t.Context(), store.Batch{Writes: new(Encoder).inventory(nil, part, time.Unix(1, 0).UTC())}); err != nil {
			t.Fatal(err)
		}
	}
	listed := Resource{Kind: "server", Name: "restored", Provider: "p1x"}
	if _, err := store.Update(t.Context(), db, func(tx *store.Tx) error { return Resources().Save(tx, listed) }); err != nil {
		t.Fatal(err)
	}
	all := scan(t, db)
	for _, infra := range []string{"", "rare", "none"} {
		for _, provider := range []string{"", "p0", "p1", "p1x"} {
			for _, state := range []ServerState{"", ServerUp, ServerAccepted, ServerListed} {
				f := ServerFilter{Infra: infra, Provider: provider, State: state}
				var want []string
				for i := range all {
					if f.has(&all[i]) {
						want = append(want, all[i].Provider+"/"+all[i].Name)
					}
				}
				got, exact := walk(t, db, f)
				if !slices.Equal(got, want) || exact >= 0 && exact != len(want) {
					t.Errorf("%+v finds %d servers and says %d, there are %d", f, len(got), exact, len(want))
				}
			}
		}
	}
	s, err := GetServer(t.Context(), db, "s-5001")
	if err != nil || s.Infra != "rare" || s.Task != "t500" || s.State != ServerAccepted || s.Provider != "p1" {
		t.Errorf("%+v %v", s, err)
	}
	if s, err := GetServer(t.Context(), db, "restored"); err != nil || s.Provider != "p1x" {
		t.Errorf("%+v %v", s, err)
	}
	if _, err := GetServer(t.Context(), db, "s-5001/os"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a task service is no server: %v", err)
	}
	two := ServerFilter{Provider: "p1", State: ServerAccepted}
	if w, err := ListServers(t.Context(), db, two, store.Place{Offset: 1500, Limit: 10}); fault.CodeOf(err) != "paging.too_deep" {
		t.Errorf("an offset behind what is looked at gives %d rows and goes on at %q: %v", len(w.Rows), w.Next, err)
	}
	if w, err := ListServers(t.Context(), db, two, store.Place{Offset: 500, Limit: 10}); err != nil || len(w.Rows) != 10 {
		t.Errorf("%d rows: %v", len(w.Rows), err)
	}
	w, err := ListServers(t.Context(), db, ServerFilter{}, store.Place{Offset: 6999, Limit: 10})
	if err != nil || len(w.Rows) != 2 || w.Total != 7001 || w.Next != "" {
		t.Errorf("%d rows of %d, next %q: %v", len(w.Rows), w.Total, w.Next, err)
	}
}

// scan returns all servers in the order of their ids.
func scan(t *testing.T, db store.DB) (all []StandingServer) {
	t.Helper()
	for d, err := range store.All(t.Context(), db, store.Query{Kind: resourceKind}) {
		if err != nil {
			t.Fatal(err)
		}
		s, err := serverOf(d)
		if err != nil {
			t.Fatal(err)
		}
		if s.Kind == "server" {
			all = append(all, s)
		}
	}
	return all
}

// walk follows the pages of a list, and returns the total of the first one, -1 if that is not
// exact.
func walk(t *testing.T, db store.DB, f ServerFilter) (names []string, exact int) {
	t.Helper()
	p := store.Place{Limit: 700}
	for first := true; ; first = false {
		w, err := ListServers(t.Context(), db, f, p)
		if err != nil {
			t.Fatal(err)
		}
		if first {
			if exact = w.Total; w.Inexact {
				exact = -1
			}
		}
		for _, row := range w.Rows {
			names = append(names, row.Value.Provider+"/"+row.Value.Name)
		}
		if p.After = w.Next; w.Next == "" {
			return names, exact
		}
	}
}

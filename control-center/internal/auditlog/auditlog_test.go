package auditlog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

// at returns the id of an entry made at t, in the form of shared/id.
func at(t time.Time, n int) string {
	hex := fmt.Sprintf("%012x", t.UnixMilli())
	return fmt.Sprintf("%s-%s-7000-8000-%012d", hex[:8], hex[8:], n)
}

func entry(t *testing.T, n int, when time.Time, change func(*audit.Entry)) []byte {
	t.Helper()
	e := audit.Entry{Action: "server.create", Actor: audit.Actor{Sub: "u1", Username: "dana"}, ID: at(when, n), Origin: "orchestrator",
		Phase:    audit.Event,
		Resource: fmt.Sprintf("servers/web-%02d", n%3), Result: audit.Success, Time: when, V: 1}
	if change != nil {
		change(&e)
	}
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fresh() *auditlog.Index {
	return &auditlog.Index{DB: memstore.New(store.Schema{Service: "control_center", Kinds: auditlog.Kinds()})}
}

func TestSearch_filtersAloneAndTogetherNewestFirst(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	x := fresh()
	day := time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)
	var bodies [][]byte
	for n := range 30 {
		bodies = append(bodies, entry(t, n, day.Add(time.Duration(n)*time.Hour), func(e *audit.Entry) {
			if n%2 == 1 {
				e.Action, e.Actor.Sub = "task.cancel", "u2"
			}
		}))
	}
	if err := x.Add(ctx, "orchestrator", 0, bodies); err != nil {
		t.Fatal(err)
	}
	if err := x.Add(ctx, "orchestrator", 10, bodies[10:]); err != nil { // taken in twice
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		f     auditlog.Filter
		total int
		first uint64
	}{
		{"all", auditlog.Filter{}, 30, 29},
		{"user", auditlog.Filter{UserID: "u1"}, 15, 28},
		{"action", auditlog.Filter{Action: "task.cancel"}, 15, 29},
		{"resource", auditlog.Filter{Resource: "servers/web-01"}, 10, 28},
		{"user and resource", auditlog.Filter{UserID: "u1", Resource: "servers/web-01"}, 5, 28},
		{"all three", auditlog.Filter{UserID: "u2", Action: "task.cancel", Resource: "servers/web-00"}, 5, 27},
		{"contradiction", auditlog.Filter{UserID: "u1", Action: "task.cancel"}, 0, 0},
		{"unknown value", auditlog.Filter{UserID: "nobody"}, 0, 0},
		{"from", auditlog.Filter{From: day.Add(20 * time.Hour)}, 10, 29},
		{"to", auditlog.Filter{To: day.Add(4 * time.Hour)}, 5, 4},
		{"from to and action", auditlog.Filter{Action: "server.create", From: day.Add(2 * time.Hour), To: day.Add(8 * time.Hour)}, 4, 8},
		{"from after to", auditlog.Filter{From: day.Add(8 * time.Hour), To: day}, 0, 0},
	} {
		found, err := x.Search(ctx, c.f, store.Place{Limit: 3})
		if err != nil || found.Total != c.total || found.Inexact || len(found.Rows) != min(3, c.total) {
			t.Errorf("%s: %d rows, total %d, %v", c.name, len(found.Rows), found.Total, err)
			continue
		}
		if c.total > 0 && found.Rows[0].Value.Index != c.first {
			t.Errorf("%s: first is %d, not %d", c.name, found.Rows[0].Value.Index, c.first)
		}
	}
	page, err := x.Search(ctx, auditlog.Filter{UserID: "u1", Action: "server.create"}, store.Place{Offset: 14, Limit: 10})
	if err != nil || len(page.Rows) != 1 || page.Rows[0].Value.Index != 0 {
		t.Errorf("last page: %+v %v", page.Rows, err)
	}
}

func TestAdd_intentAndOutcomeAreOneRow(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	now := time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)
	intent := entry(t, 1, now, func(e *audit.Entry) { e.Phase, e.OpID = audit.Intent, "attempt-1" })
	outcome := entry(t, 2, now.Add(time.Second), func(e *audit.Entry) {
		e.Phase, e.OpID, e.Result, e.Details = audit.Outcome, "attempt-1", audit.Failure, map[string]any{"class": "quota"}
	})
	for _, batches := range [][][][]byte{{{intent, outcome}}, {{intent}, {outcome}}, {{intent, outcome}, {intent, outcome}}} {
		x := fresh()
		for _, b := range batches {
			first := uint64(0)
			if len(batches) == 2 && len(b) == 1 && string(b[0]) == string(outcome) {
				first = 1
			}
			if err := x.Add(ctx, "orchestrator", first, b); err != nil {
				t.Fatal(err)
			}
		}
		found, err := x.Search(ctx, auditlog.Filter{}, store.Place{Limit: 10})
		if err != nil || found.Total != 1 {
			t.Fatalf("%d rows: %v", found.Total, err)
		}
		r := found.Rows[0].Value
		var details map[string]any
		if err := json.Unmarshal(r.Details, &details); err != nil || r.Result != audit.Failure || r.Outcome == nil || *r.Outcome != 1 ||
			details["class"] != "quota" || r.Index != 0 {
			t.Fatalf("%+v %v", r, err)
		}
	}
}

func TestAdd_neverStopsAtAnEntryAndRefusesForeignRows(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	x := fresh()
	now := time.Now()
	good := entry(t, 1, now, nil)
	if err := x.Add(ctx, "orchestrator", 0, [][]byte{[]byte("rubbish"), good}); err != nil {
		t.Fatal(err)
	}
	if err := x.Add(ctx, "control-center", 0, [][]byte{[]byte("rubbish here as well")}); err != nil {
		t.Fatalf("an unreadable entry of one log stops the index of the other: %v", err)
	}
	if found, err := x.Search(ctx, auditlog.Filter{Action: "audit.unreadable"}, store.Place{Limit: 10}); err != nil || found.Total != 2 {
		t.Fatalf("%+v %v", found, err)
	}
	// Names that people chose: one of them must not keep the rows of all others out.
	for i, name := range []string{"a\x00b", strings.Repeat("é", 150), "x" + strings.Repeat("é", 150), "x" + strings.Repeat("🚀", 80),
		"\uFFFD", strings.Repeat("y", 1000), "\u2028\x1b"} {
		hostile := entry(t, 100+i, now, func(e *audit.Entry) { e.Resource, e.Action, e.Actor.Sub = name, name, name })
		if err := x.Add(ctx, "orchestrator", uint64(100+i), [][]byte{hostile}); err != nil {
			t.Fatalf("%.20q: %v", name, err)
		}
		for _, f := range []auditlog.Filter{{Resource: name}, {Action: name}, {UserID: name}} {
			if found, err := x.Search(ctx, f, store.Place{Limit: 10}); err != nil || found.Total != 1 {
				t.Errorf("%.20q is not found by %+.40v: %d %v", name, f, found.Total, err)
			}
		}
	}
	if err := x.Add(ctx, "control-center", 7, [][]byte{good}); !fault.Is(err, fault.Conflict) {
		t.Fatalf("an entry took over the row of another log: %v", err)
	}
	r, err := x.Get(ctx, at(now, 1))
	if err != nil || r.Origin != "orchestrator" || r.LeafHash != audit.LeafHash(good) {
		t.Fatalf("%+v %v", r, err)
	}
	if _, err := x.Get(ctx, "nowhere"); !fault.Is(err, fault.NotFound) {
		t.Fatalf("%v", err)
	}
}

func TestSearch_textThatIsNoUTF8FindsNothingAndBreaksNothing(t *testing.T) {
	t.Parallel()
	x := fresh()
	if err := x.Add(context.Background(), "orchestrator", 0, [][]byte{entry(t, 1, time.Now(), nil)}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"\xff", strings.Repeat("\x80", 300)} {
		if found, err := x.Search(context.Background(), auditlog.Filter{Resource: text}, store.Place{Limit: 10}); err != nil ||
			found.Total != 0 {
			t.Errorf("%.10q: %+v %v", text, found, err)
		}
		if _, err := x.Get(context.Background(), text); !fault.Is(err, fault.NotFound) {
			t.Errorf("%.10q as an id: %v", text, err)
		}
	}
}

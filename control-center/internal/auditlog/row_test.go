package auditlog_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/store"
)

func TestAdd_keepsWhatAnEntrySaysWhateverItsForm(t *testing.T) {
	t.Parallel()
	const head = `{"action":"server.create","actor":{"ip":"::1","sid":"s","sub":"u \"1\"","username":"d\\"},"code":"a.b","decision":{"allowed":true,"policy":3,"rule":"r"},`
	const tail = `"id":"019cb8b2-0000-7000-8000-000000000001","op":"o","origin":"orchestrator","phase":"event","request_id":"q","resource":"servers/ä","result":"success","time":"2026-03-04T10:00:00.5+01:00","v":1}`
	for _, c := range []struct{ name, entry, details string }{
		{"without details", head + tail, `{"code":"a.b","decision":{"allowed":true,"policy":3,"rule":"r"},"ip":"::1","operation":"o","request_id":"q","session":"s","username":"d\\"}`},
		{"with details that take names", head + `"details":{"\"":["}",{"x":"\\\""}],"code":"own","decision":"own","zone":1},` + tail,
			`{"\"":["}",{"x":"\\\""}],"code":"own","decision":{"allowed":true,"policy":3,"rule":"r"},"ip":"::1","operation":"o","request_id":"q","session":"s","username":"d\\","zone":1}`},
		{"with details that are no object", head + `"details":7,` + tail,
			`{"code":"a.b","decision":{"allowed":true,"policy":3,"rule":"r"},"ip":"::1","operation":"o","request_id":"q","session":"s","unreadable":true,"username":"d\\"}`},
		{"with names that need an escape", head + `"details":{"\u0007":1,"!":2,"a":3,"a b":4},` + tail,
			`{"\u0007":1,"!":2,"a":3,"a b":4,"code":"a.b","decision":{"allowed":true,"policy":3,"rule":"r"},"ip":"::1","operation":"o","request_id":"q","session":"s","username":"d\\"}`},
		{"with blanks and another order", `{ "details" : { "z" : 1, "b" : 2 }, "time":"2026-03-04T09:00:00.5Z","resource":"servers/ä","phase":"event","result":"success","id":"019cb8b2-0000-7000-8000-000000000001","action":"server.create","actor":{"sub":"u \"1\""}}`,
			`{"b":2,"z":1}`},
	} {
		x := fresh()
		if err := x.Add(context.Background(), "orchestrator", 5, [][]byte{[]byte(c.entry)}); err != nil {
			t.Fatal(c.name, err)
		}
		rows, _, err := auditlog.Table.List(context.Background(), x.DB, store.Query{Limit: 2})
		if err != nil || len(rows) != 1 {
			t.Fatal(c.name, len(rows), err)
		}
		r := rows[0].Value
		if string(r.Details) != c.details {
			t.Errorf("%s: details\n%s, want\n%s", c.name, r.Details, c.details)
		}
		if r.UserID != `u "1"` || r.Resource != "servers/ä" || r.Action != "server.create" || r.Index != 5 || !r.Timestamp.Equal(time.Date(2026, 3, 4, 9, 0, 0, 5e8, time.UTC)) {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

func FuzzAdd_takesAnything(f *testing.F) {
	for _, s := range []string{`{`, `{}`, `[1]`, `7`, `{"id":"x"}`, `{"id":"x","details":{"a":{}}}`, `{"id":"x","actor":[],"details":[{"a":"]"}]}`, `{"id":null}`, `{"id":"x","time":3}`, `{"id":"\u0000"}`, `{"id":"x","time":"9999-12-31T23:59:59-01:00"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		x := fresh()
		if err := x.Add(context.Background(), "orchestrator", 0, [][]byte{entry}); err != nil {
			t.Fatal(err)
		}
		page, err := x.DB.List(context.Background(), store.Query{Kind: auditlog.Table.Kind, Limit: 2})
		if err != nil || len(page.Docs) != 1 {
			t.Fatal(len(page.Docs), err)
		}
		row, err := auditlog.Table.Decode(page.Docs[0])
		if err != nil {
			t.Fatal(err)
		}
		if want, err := canonical.Make(row); err != nil || string(page.Docs[0].Body) != string(want) {
			t.Errorf("written by hand:\n%s\nby the encoder:\n%s %v", page.Docs[0].Body, want, err)
		}
	})
}

// However entries are cut into runs, and whichever come again, the rows are those of one run.
func TestAdd_inAnyRunsAndAgainGivesTheSameRows(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	now := time.Now()
	for range 50 {
		var bodies [][]byte
		var waiting []int
		for op := 0; op < 20 || len(waiting) > 0; {
			n := len(bodies)
			if len(waiting) > 0 && (op == 20 || rng.IntN(2) == 0) {
				k := rng.IntN(len(waiting))
				bodies = append(bodies, entry(t, n, now, func(e *audit.Entry) {
					e.Phase, e.OpID, e.Result, e.Details = audit.Outcome, fmt.Sprint("op",
						waiting[k]), audit.Failure, map[string]any{"class": "quota"}
				}))
				waiting = slices.Delete(waiting, k, k+1)
				continue
			}
			bodies = append(bodies, entry(t, n, now, func(e *audit.Entry) { e.Phase, e.OpID = audit.Intent, fmt.Sprint("op", op) }))
			waiting = append(waiting, op)
			op++
		}
		once, parts := fresh(), fresh()
		if err := once.Add(ctx, "orchestrator", 0, bodies); err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(bodies); {
			to := min(at+1+rng.IntN(8), len(bodies))
			if err := parts.Add(ctx, "orchestrator", uint64(at), bodies[at:to]); err != nil {
				t.Fatal(err)
			}
			if at = to; rng.IntN(4) == 0 && at < len(bodies) {
				at = rng.IntN(at + 1) // its cursor was not stored
			}
		}
		rows := func(x *auditlog.Index) (all []auditlog.Row) {
			found, _, err := auditlog.Table.List(ctx, x.DB, store.Query{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range found {
				all = append(all, r.Value)
			}
			return all
		}
		if want, got := rows(once), rows(parts); len(want) != 20 || !reflect.DeepEqual(want, got) {
			t.Fatalf("%d rows:\n%+v\nwant %d:\n%+v", len(got), got, len(want), want)
		}
	}
}

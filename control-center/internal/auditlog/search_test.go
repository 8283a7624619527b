package auditlog_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/pebblestore"
	"github.com/provisioning-platform/platform/shared/store/surrealstore"
	"github.com/provisioning-platform/platform/shared/store/surrealstore/surrealtest"
)

// rowsOf is how many rows the comparison with a full scan is made on. Decision 56 wants -rows
// 200000; the gate takes a part of that, and less of it on SurrealDB, which takes a row in 30 times
// slower.
var rowsOf = flag.Int("rows", 0, "rows of the search that is compared with a full scan; 0 is 20,000, and 2,500 on SurrealDB")

// stores opens an index on each engine.
var stores = map[string]func(t *testing.T) *auditlog.Index{
	"embedded": func(t *testing.T) *auditlog.Index {
		db, err := pebblestore.Open(t.TempDir(), store.Schema{Service: "control_center", Kinds: auditlog.Kinds()},
			slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return &auditlog.Index{DB: db}
	},
	"surrealdb": func(t *testing.T) *auditlog.Index {
		at, password := surrealtest.Start(t)
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		db, err := surrealstore.Open(t.Context(),
			surrealstore.Options{URL: u, Password: secret.New(password), Sync: surrealstore.SyncEvery,
				Schema: store.Schema{Service: "control_center", Kinds: auditlog.Kinds()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return &auditlog.Index{DB: db}
	},
}

var day = time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)

// crowd is the log of an author who did nearly everything: one act in a thousand is somebody
// else's, one in fifty is another action, and every resource is touched a few times only.
func crowd(rng *rand.Rand, n int) []audit.Entry {
	all := make([]audit.Entry, n)
	for i := range all {
		e := audit.Entry{Action: "server.create", Actor: audit.Actor{Sub: "busy"}, Origin: "orchestrator", Phase: audit.Event,
			Resource: fmt.Sprintf("servers/web-%d", rng.IntN(n/40)), Result: audit.Success,
			Time: day.Add(time.Duration(i) * 700 * time.Microsecond), V: 1}
		if rng.IntN(1000) == 0 {
			e.Actor.Sub = "rare"
		}
		switch rng.IntN(50) {
		case 0:
			e.Action = "task.cancel"
		case 1:
			e.Resource = "servers/often"
		case 2:
			e.Resource, e.Action = "users/"+strings.Repeat("long", 60)+fmt.Sprint(i%2), "user.update"
		}
		e.ID = id.At(e.Time)
		all[i] = e
	}
	all[n/2].Actor.Sub, all[n/2].Action, all[n/2].Resource = "busy", "once.only", "servers/once"
	return all
}

func (f like) entry(e *audit.Entry) bool {
	return (f.UserID == "" || f.UserID == e.Actor.Sub) && (f.Action == "" || f.Action == e.Action) &&
		(f.Resource == "" || f.Resource == e.Resource) &&
		(f.From.IsZero() || !e.Time.Before(f.From)) && (f.To.IsZero() || !e.Time.After(f.To))
}

type like auditlog.Filter

func addAll(t *testing.T, x *auditlog.Index, entries []audit.Entry) {
	t.Helper()
	at := uint64(0)
	for run := range slices.Chunk(entries, 200) {
		var bodies [][]byte
		for i := range run {
			b, err := run[i].Encode()
			if err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, b)
		}
		if err := x.Add(t.Context(), "orchestrator", at, bodies); err != nil {
			t.Fatal(err)
		}
		at += uint64(len(run))
	}
}

// counting is a store that counts the rows a search reads.
type counting struct {
	store.DB
	rows int
}

func (c *counting) List(ctx context.Context, q store.Query) (store.Page, error) {
	page, err := c.DB.List(ctx, q)
	c.rows += len(page.Docs) + q.Skip
	return page, err
}

// TestSearch_hidesNothingWhateverTheFilters compares every pair of filters with a full scan, and
// bounds what a request costs.
func TestSearch_hidesNothingWhateverTheFilters(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began, rows := time.Now(), cmp.Or(*rowsOf, map[string]int{"embedded": 20_000, "surrealdb": 2500}[name])
			entries := crowd(rand.New(rand.NewPCG(seed, 0)), rows)
			n, texts := len(entries), pairs(entries)
			x := open(t)
			addAll(t, x, entries)
			t.Log("filled after", time.Since(began))
			count := &counting{DB: x.DB}
			x.DB = count
			for _, user := range texts["user"] {
				for _, action := range texts["action"] {
					for _, resource := range texts["resource"] {
						for _, span := range texts["time"] {
							f := auditlog.Filter{UserID: user.UserID, Action: action.Action, Resource: resource.Resource, From: span.From,
								To: span.To}
							if (name == "surrealdb" || *rowsOf > 0) && parts(f) > 2 {
								continue
							}
							var want []string
							for i := n - 1; i >= 0; i-- {
								if like(f).entry(&entries[i]) {
									want = append(want, entries[i].ID)
								}
							}
							walk(t, x, count, f, want)
						}
					}
				}
			}
			// A row that one in all of its author's matches is found at once, when the other filter
			// is rare.
			found, err := x.Search(t.Context(), auditlog.Filter{UserID: "busy", Resource: "servers/once"}, store.Place{Limit: 50})
			if err != nil || len(found.Rows) != 1 || found.Inexact || found.Total != 1 {
				t.Errorf("%d rows at once, %v", len(found.Rows), err)
			}
		})
	}
}

// parts counts the filters that are set.
func parts(f auditlog.Filter) (n int) {
	for _, set := range []bool{f.UserID != "", f.Action != "", f.Resource != "", !f.From.IsZero() || !f.To.IsZero()} {
		if set {
			n++
		}
	}
	return n
}

// pairs returns filters of each kind, to be combined.
func pairs(entries []audit.Entry) map[string][]auditlog.Filter {
	n := len(entries)
	return map[string][]auditlog.Filter{
		"user":   {{}, {UserID: "busy"}, {UserID: "rare"}, {UserID: "nobody"}},
		"action": {{}, {Action: "server.create"}, {Action: "task.cancel"}, {Action: "once.only"}},
		"resource": {{}, {Resource: "servers/often"}, {Resource: "servers/once"}, {Resource: "users/" + strings.Repeat("long", 60) + "1"},
			{Resource: entries[n/3].Resource}},
		"time": {{}, {From: entries[n-n/10].Time}, {To: entries[n/10].Time}, {From: entries[n/3].Time, To: entries[n/2].Time}},
	}
}

// walk follows the cursors of a search to their end.
func walk(t *testing.T, x *auditlog.Index, count *counting, f auditlog.Filter, want []string) {
	t.Helper()
	var got []string
	p := store.Place{Limit: 1000}
	for requests := 0; ; requests++ {
		count.rows = 0
		page, err := x.Search(t.Context(), f, p)
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		for _, r := range page.Rows {
			got = append(got, r.Value.ID)
		}
		if count.rows > auditlog.Budget || page.Total > max(len(want), 0) || p.After == "" && !page.Inexact && page.Total != len(want) {
			t.Errorf("%+v behind %q: %d rows read, total %d (inexact %v) of %d", f, p.After, count.rows, page.Total, page.Inexact,
				len(want))
		}
		if p.After = page.Next; p.After == "" {
			break
		}
		if requests > 10_000 {
			t.Fatalf("%+v: no end", f)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v: %d rows, %d match", f, len(got), len(want))
	}
}

// TestSearch_rowsThatArriveLateAreNotMetTwice stops the copy of the other service's rows, pages,
// and lets it go on.
func TestSearch_rowsThatArriveLateAreNotMetTwice(t *testing.T) {
	t.Parallel()
	for _, f := range []auditlog.Filter{{}, {Action: "server.create"}, {Action: "server.create", UserID: "busy"}, {From: day}} {
		x := fresh()
		entries := crowd(rand.New(rand.NewPCG(1, 0)), 300)
		for i := range entries {
			entries[i].Actor.Sub, entries[i].Action = "busy", "server.create"
		}
		var early, late []audit.Entry
		for i, e := range entries {
			if e.Origin = "control-center"; i%3 == 0 {
				early = append(early, e)
			} else {
				late = append(late, e)
			}
		}
		addAll(t, x, early)
		seen, last := map[string]bool{}, ""
		for p := (store.Place{Limit: 7, Offset: 7}); ; {
			page, err := x.Search(t.Context(), f, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Rows {
				if seen[r.Value.ID] || last != "" && r.Value.ID >= last {
					t.Fatalf("%+v: %s a second time or out of order, behind %s", f, r.Value.ID, last)
				}
				seen[r.Value.ID], last = true, r.Value.ID
			}
			if len(late) > 0 {
				n := min(len(late), 20)
				add := late[len(late)-n:]
				late = late[:len(late)-n]
				addAll(t, x, add)
			}
			if p.After = page.Next; p.After == "" {
				break
			}
		}
		if !seen[entries[0].ID] || len(seen) < len(early)-7 {
			t.Errorf("%+v: %d rows of %d", f, len(seen), len(early))
		}
	}
}

func TestSearch_anOffsetThatComparingCannotReachIsRefused(t *testing.T) {
	t.Parallel()
	x := fresh()
	entries := crowd(rand.New(rand.NewPCG(1, 0)), 5000)
	addAll(t, x, entries)
	f := auditlog.Filter{UserID: "busy", Action: "server.create"}
	if page, err := x.Search(t.Context(), f, store.Place{Offset: 1500, Limit: 50}); err != nil || len(page.Rows) != 50 || page.Next == "" {
		t.Errorf("%d rows, %v", len(page.Rows), err)
	}
	if _, err := x.Search(t.Context(), f, store.Place{Offset: 2500, Limit: 50}); fault.CodeOf(err) != "paging.too_deep" ||
		!fault.Is(err, fault.Invalid) {
		t.Errorf("%v", err)
	}
	if page, err := x.Search(t.Context(), auditlog.Filter{UserID: "rare", Action: "server.create"},
		store.Place{Offset: 2500, Limit: 50}); err != nil || len(page.Rows) != 0 || page.Next != "" {
		t.Errorf("past the end: %d rows, %v", len(page.Rows), err)
	}
}

// TestSearch_findsAnActByTheTimeItShows asks from and to the very time of each row, also of acts
// recorded later than they were made and under a clock that was set back.
func TestSearch_findsAnActByTheTimeItShows(t *testing.T) {
	t.Parallel()
	x := fresh()
	var entries []audit.Entry
	for i, when := range []time.Duration{0, time.Hour, -time.Hour, time.Minute, time.Minute} {
		e := audit.EntryDraft{Action: "server.create", Resource: fmt.Sprint("servers/", i)}.Entry(context.Background(),
			time.Now().Add(when))
		entries = append(entries, e)
	}
	addAll(t, x, entries)
	all, err := x.Search(t.Context(), auditlog.Filter{}, store.Place{Limit: 50})
	if err != nil || len(all.Rows) != len(entries) {
		t.Fatal(len(all.Rows), err)
	}
	for _, r := range all.Rows {
		found, err := x.Search(t.Context(), auditlog.Filter{From: r.Value.Timestamp, To: r.Value.Timestamp}, store.Place{Limit: 50})
		if err != nil || !slices.ContainsFunc(found.Rows, func(o store.Row[auditlog.Row]) bool { return o.Value.ID == r.Value.ID }) {
			t.Errorf("%s of %v is not found: %v", r.Value.Resource, r.Value.Timestamp, err)
		}
	}
}

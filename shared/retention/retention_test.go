package retention

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

var quiet = slog.New(slog.DiscardHandler)

var start = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func newHub() *feed.Hub {
	return feed.NewHub(memstore.New(store.Schema{Service: "test", Kinds: append(Kinds(), feed.Kinds()...)}))
}

// fill appends an event an hour, the last of so many an hour before start.
func fill(t *testing.T, db *feed.Hub, hours int) {
	t.Helper()
	for i := range hours {
		body := fmt.Appendf(nil, `{"at":%d}`, start.Add(time.Duration(i-hours)*time.Hour).Unix())
		if _, err := db.Commit(t.Context(), store.Batch{Appends: []store.Append{{Stream: "events", Body: body}}}); err != nil {
			t.Fatal(err)
		}
	}
}

func timeOf(body []byte) (time.Time, bool) {
	var e struct{ At int64 }
	err := json.Unmarshal(body, &e)
	return time.Unix(e.At, 0), err == nil
}

// first returns the first sequence that is kept.
func first(t *testing.T, db *feed.Hub) uint64 {
	t.Helper()
	page, err := db.Read(t.Context(), "events", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	return page.First
}

func follow(t *testing.T, db *feed.Hub, name, stream string, seq uint64) {
	t.Helper()
	if _, err := store.Update(t.Context(), db, func(tx *store.Tx) error {
		return feed.Cursors.Save(tx, feed.Cursor{Name: name, Stream: stream, Seq: seq})
	}); err != nil {
		t.Fatal(err)
	}
}

// entries returns the audit entries with that action.
func entries(t *testing.T, db *feed.Hub, action string) (found []audit.Entry) {
	t.Helper()
	page, err := db.Read(t.Context(), audit.Stream, 0, store.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Entries {
		var entry audit.Entry
		if err := json.Unmarshal(e.Body, &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Action == action {
			found = append(found, entry)
		}
	}
	return found
}

func TestStream_keepsByAgeOrNumberWhicheverIsMore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule KeepRule
		want uint64 // first sequence that is kept, of 100
	}{
		{KeepRule{}, 1},
		{KeepRule{MaxAge: 10 * time.Hour}, 91},
		{KeepRule{Max: 20}, 81},
		{KeepRule{MaxAge: 10 * time.Hour, Max: 20}, 81},
		{KeepRule{MaxAge: 30 * time.Hour, Max: 20}, 71},
		{KeepRule{MaxAge: time.Minute}, 101},
		{KeepRule{Max: 100}, 1},
		{KeepRule{Max: 101}, 1},
		{KeepRule{MaxAge: 1000 * time.Hour}, 1},
	} {
		db := newHub()
		fill(t, db, 100)
		p := &Pruner{DB: db, Classes: []Class{Stream(db, "events", c.rule, timeOf)}, Now: func() time.Time { return start }, Log: quiet}
		p.round(t.Context())
		p.round(t.Context())
		kept, err := p.Classes[0].Kept(t.Context())
		if got := first(t, db); got != c.want || err != nil || kept.Rows != int(101-c.want) {
			t.Errorf("%+v keeps from %d on, %+v, %v; want %d", c.rule, got, kept, err, c.want)
		}
	}
}

func TestStream_stopsAtTheSlowestFollower(t *testing.T) {
	t.Parallel()
	db := newHub()
	fill(t, db, 100)
	follow(t, db, "slow", "events", 40)
	follow(t, db, "slower", "events", 7)
	follow(t, db, "of another stream", "audit", 1)
	p := &Pruner{DB: db, Classes: []Class{Stream(db, "events", KeepRule{Max: 10}, timeOf)}, Now: func() time.Time { return start },
		Log: quiet}
	for _, c := range []struct{ seq, want uint64 }{{7, 8}, {39, 40}, {60, 41}, {100, 41}} {
		follow(t, db, "slower", "events", c.seq)
		p.round(t.Context())
		if got := first(t, db); got != c.want {
			t.Errorf("with a follower at %d: kept from %d on, want %d", c.seq, got, c.want)
		}
	}
	if letters, _, err := feed.DeadLetters.List(t.Context(), db, store.Query{Limit: 10}); err != nil || len(letters) != 0 {
		t.Errorf("%d dead letters, %v", len(letters), err)
	}
}

func TestStream_movesOnAFollowerThatIsFurtherBehindThanTheAge(t *testing.T) {
	t.Parallel()
	db := newHub()
	fill(t, db, 100)
	follow(t, db, "stuck", "events", 12)
	follow(t, db, "late", "events", 95)
	now := start
	p := &Pruner{DB: db, Classes: []Class{Stream(db, "events", KeepRule{MaxAge: 10 * time.Hour}, timeOf)},
		Now: func() time.Time { return now }, Log: quiet}
	p.round(t.Context())
	now = start.Add(2 * time.Hour)
	p.round(t.Context())
	letters, _, err := feed.DeadLetters.List(t.Context(), db, store.Query{Limit: 10})
	if err != nil || len(letters) != 1 || letters[0].Value.From != 13 || letters[0].Value.To != 92 ||
		letters[0].Value.Follower != "stuck" || letters[0].Value.Stream != "events" {
		t.Fatalf("dead letters %+v, %v", letters, err)
	}
	for name, want := range map[string]uint64{"stuck": 92, "late": 95} {
		if row, err := feed.Cursors.Get(t.Context(), db, name); err != nil || row.Value.Seq != want {
			t.Errorf("%s stands at %d, %v; want %d", name, row.Value.Seq, err, want)
		}
	}
	if moved := entries(t, db, "retention.move_on"); len(moved) != 1 || moved[0].Resource != "followers/stuck" {
		t.Errorf("audit entries %+v", moved)
	}
	follow(t, db, "stuck", "events", 94) // it works again, and is stuck again
	now = start.Add(8 * time.Hour)
	p.round(t.Context())
	if letters, _, err = feed.DeadLetters.List(t.Context(), db, store.Query{Prefix: "stuck/", Limit: 10}); err != nil ||
		len(letters) != 2 || letters[1].Value.From != 95 || letters[1].Value.To != 98 {
		t.Errorf("dead letters %+v, %v", letters, err)
	}
}

// TestPruner_oneAuditEntryADayAndCountsForEver prunes every hour of three days, in a process that
// is restarted now and then.
func TestPruner_oneAuditEntryADayAndCountsForEver(t *testing.T) {
	t.Parallel()
	db := newHub()
	fill(t, db, 100)
	now := start
	for hour := range 60 {
		now = start.Add(time.Duration(hour) * time.Hour)
		p := &Pruner{DB: db, Classes: []Class{Stream(db, "events", KeepRule{MaxAge: 40 * time.Hour}, timeOf)},
			Now: func() time.Time { return now }, Log: quiet}
		p.round(t.Context())
	}
	days := map[string]any{}
	for _, e := range entries(t, db, "retention.prune") {
		days[e.Resource] = e.Details["events"]
	}
	if want := map[string]any{"retention/2026-11-30": 71.0, "retention/2026-12-01": 24.0}; !maps.Equal(days, want) {
		t.Errorf("audit entries say %v, want %v", days, want)
	}
	if pruned, err := Pruned(t.Context(), db); err != nil || pruned["events"] != 100 || first(t, db) != 101 {
		t.Errorf("pruned %v, %v, kept from %d on", pruned, err, first(t, db))
	}
	if of("events", map[string]int64{"events": 1, "events/a": 2, "eventsx": 4}) != 3 {
		t.Error("a class counts what is not its own")
	}
}

// TestPruner_whoWasFasterWins lets the row of a step change between look and commit.
func TestPruner_whoWasFasterWins(t *testing.T) {
	t.Parallel()
	db := newHub()
	follow(t, db, "row", "other", 1)
	looks := 0
	class := Class{Name: "rows", Kept: func(context.Context) (Kept, error) { return Kept{}, nil },
		Next: func(ctx context.Context, _ time.Time) (Step, error) {
			row, err := feed.Cursors.Get(ctx, db, "row")
			if looks++; err != nil || looks > 1 {
				return Step{}, err
			}
			follow(t, db, "row", "other", 2)
			w := store.Write{Key: feed.Cursors.Key("row"), Expect: store.At(row.Rev), Action: store.Delete}
			return Step{Batch: store.Batch{Writes: []store.Write{w}}, Pruned: map[string]int64{"rows": 1}}, nil
		}}
	p := &Pruner{DB: db, Classes: []Class{class}, Now: func() time.Time { return start }, Log: quiet}
	p.round(t.Context())
	row, err := feed.Cursors.Get(t.Context(), db, "row")
	pruned, lost := Pruned(t.Context(), db)
	if err != nil || lost != nil || row.Value.Seq != 2 || pruned["rows"] != 0 {
		t.Errorf("row %+v, pruned %v, %v %v", row, pruned, err, lost)
	}
}

// TestRows_moreThanOneStepTakes removes documents in the order of an index, by number and by age.
func TestRows_moreThanOneStepTakes(t *testing.T) {
	t.Parallel()
	const total = 3*atOnce + 7
	for _, c := range []struct {
		rule KeepRule
		want int
	}{{KeepRule{}, total}, {KeepRule{Max: 10}, 10}, {KeepRule{MaxAge: 20 * time.Minute}, 21}, {KeepRule{MaxAge: 20 * time.Minute, Max: 300},
		300}, {KeepRule{MaxAge: 1}, 1}} {
		db := memstore.New(store.Schema{Service: "test", Kinds: append(Kinds(), store.Kind{Name: "row", Indexes: []string{"at"}})})
		var b store.Batch
		for i := range total { // the last one is of the very moment; ids stand the other way round
			at := start.Add(-time.Duration(total-1-i) * time.Minute)
			b.Writes = append(b.Writes, store.Write{Key: store.Key{Kind: "row", ID: fmt.Sprint(9999 - i)}, Body: []byte("{}"),
				Index: []store.IndexKey{{Name: "at", Value: fmt.Sprintf("%012d", at.Unix())}}})
		}
		if _, err := db.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		class := Rows(db, "rows", store.Query{Kind: "row", Index: "at"}, c.rule, func(d store.Doc) time.Time {
			var unix int64
			_, _ = fmt.Sscanf(d.Index[0].Value, "%d", &unix)
			return time.Unix(unix, 0)
		})
		p := &Pruner{DB: db, Classes: []Class{class}, Now: func() time.Time { return start }, Log: quiet}
		p.round(t.Context())
		kept, err := class.Kept(t.Context())
		pruned, lost := Pruned(t.Context(), db)
		if err != nil || lost != nil || kept.Rows != c.want || pruned["rows"] != int64(total-c.want) ||
			!kept.Oldest.Equal(start.Add(-time.Duration(c.want-1)*time.Minute)) {
			t.Errorf("%+v keeps %+v, want %d; pruned %v, %v %v", c.rule, kept, c.want, pruned, err, lost)
		}
	}
}

// TestPruner_noAgeIsBelowZero is about rows that are ordered by their end, such as sessions: the
// oldest may end in the future.
func TestPruner_noAgeIsBelowZero(t *testing.T) {
	t.Parallel()
	sessions := Class{Name: "sessions", Kept: func(context.Context) (Kept, error) {
		return Kept{Rows: 1, Oldest: start.Add(8 * time.Hour)},
			nil
	}}
	p := &Pruner{DB: newHub(), Classes: []Class{sessions}, Now: func() time.Time { return start }, Log: quiet}
	metrics := obs.NewRegistry()
	p.Meter(metrics, "test")
	p.look(t.Context())
	answer := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	if want := `test_retention_oldest_age_seconds{class="sessions"} 0`; !strings.Contains(answer.Body.String(), want+"\n") {
		t.Errorf("no %s in\n%s", want, answer.Body)
	}
}

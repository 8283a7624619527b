package surrealstore

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/storetest"
	"github.com/provisioning-platform/platform/shared/store/surrealstore/surrealtest"
)

var schema = store.Schema{Service: "test", Kinds: []store.Kind{
	{Name: "thing", Indexes: []string{"state", "owner"}, Counted: []string{"state"}},
	{Name: "plain"},
}}

func open(t testing.TB, at, password string, schema store.Schema) *Store {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := Open(ctx, Options{URL: u, Password: secret.New(password), Sync: SyncEvery, Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (store.DB, func() store.DB) {
		at, password := surrealtest.Start(t)
		s := open(t, at, password, storetest.Schema())
		return s, func() store.DB {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, at, password, storetest.Schema())
			return s
		}
	})
}

func TestList_stopsWithItsCaller(t *testing.T) {
	at, password := surrealtest.Start(t)
	storetest.StopsWithItsCaller(t, open(t, at, password, storetest.Schema()))
}

func TestCommit_roundTrip(t *testing.T) {
	at, password := surrealtest.Start(t)
	s := open(t, at, password, schema)
	ctx := t.Context()
	key := store.Key{Kind: "thing", ID: "a"}
	body := []byte(`{"a":1,"b":[true,null,"x"],"f":0.5}`)
	r, err := s.Commit(ctx, store.Batch{
		Writes:  []store.Write{{Key: key, Expect: store.Absent(), Index: []store.IndexKey{{Name: "state", Value: "on"}}, Body: body}},
		Appends: []store.Append{{Stream: "events", Body: []byte("one")}, {Stream: "events", Body: []byte("two")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	d, err := s.Get(ctx, key)
	if err != nil || string(d.Body) != string(body) || d.Rev != r.Rev {
		t.Fatalf("got %+v, %v", d, err)
	}
	p, err := s.List(ctx, store.Query{Kind: "thing", Index: "state", Prefix: "on", Exact: true, Limit: 10, Total: true})
	if err != nil || len(p.Docs) != 1 || p.Total != 1 {
		t.Fatalf("got %+v, %v", p, err)
	}
	e, err := s.Read(ctx, "events", 0, 10)
	if err != nil || e.Head != 2 || len(e.Entries) != 2 {
		t.Fatalf("got %+v, %v", e, err)
	}
}

// TestTrimmedEntriesLeaveTheTable trims more than one query removes and looks into the table
// itself; a second sweep, as one after a kill in the middle, finds what is left.
func TestTrimmedEntriesLeaveTheTable(t *testing.T) {
	t.Parallel()
	at, password := surrealtest.Start(t)
	s := open(t, at, password, schema)
	const total, kept = 2*trimSlice + 500, 100
	for at := 0; at < total; at += 500 {
		b := store.Batch{Appends: []store.Append{{Stream: "other", Body: []byte("x")}}}
		for range 500 {
			b.Appends = append(b.Appends, store.Append{Stream: "events", Body: []byte("x")})
		}
		if _, err := s.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	rows := func(stream string) (n int) {
		results, err := s.link.query(t.Context(), text("RETURN array::len(SELECT VALUE id FROM test__entry:[$s, 0]..=[$s, 1000000])"),
			map[string]any{"s": stream})
		if err == nil {
			err = decode(results[0], &n)
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, through := range []uint64{300, total - kept} {
		if _, err := s.Commit(t.Context(), store.Batch{Trims: []store.Trim{{Stream: "events", Through: through}}}); err != nil {
			t.Fatal(err)
		}
		if err := s.removeTrimmed(); err != nil {
			t.Fatal(err)
		}
		if got := rows("events"); got != total-int(through) {
			t.Errorf("%d rows after a trim through %d, want %d", got, through, total-int(through))
		}
	}
	if got := rows("other"); got != total/500 {
		t.Errorf("%d rows of another stream, want %d", got, total/500)
	}
	if e, err := s.Read(t.Context(), "events", 0, 1); err != nil || len(e.Entries) != 1 || e.Entries[0].Seq != total-kept+1 {
		t.Errorf("%+v, %v", e, err)
	}
}

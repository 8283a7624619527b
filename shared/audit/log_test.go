package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// service is one program's log over a store in memory and a folder on disk. Each open is a start.
type service struct {
	t    testing.TB
	hub  *feed.Hub
	dir  string
	keys *Keys
	log  *Log
}

func newService(t testing.TB, origin string) *service {
	t.Helper()
	s := &service{t: t, dir: t.TempDir()}
	var err error
	if s.keys, err = MakeKeys(filepath.Join(s.dir, "keys"), origin); err != nil {
		t.Fatal(err)
	}
	s.store(nil)
	s.open()
	return s
}

// store makes the store hold exactly these entries.
func (s *service) store(bodies [][]byte) {
	s.t.Helper()
	s.hub = feed.NewHub(memstore.New(store.Schema{Service: "test", Kinds: append(Kinds(), feed.Kinds()...)}))
	for _, body := range bodies {
		if _, err := s.hub.Commit(s.t.Context(), store.Batch{Appends: []store.Append{{Stream: Stream, Body: body}}}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// open starts the log anew on what is stored, without running it.
func (s *service) open() {
	s.t.Helper()
	if s.log != nil {
		s.log.hashes.close()
	}
	s.hub.Refuse(nil)
	var err error
	if s.log, err = Open(s.t.Context(), Options{DB: s.hub, Dir: filepath.Join(s.dir, "audit"), Keys: s.keys, Log: quiet}); err != nil {
		s.t.Fatal(err)
	}
}

// add records n entries and signs them.
func (s *service) add(n int) {
	s.t.Helper()
	for range n {
		if err := Record(s.t.Context(), s.hub,
			EntryDraft{Action: "server.create", Resource: fmt.Sprintf("servers/web-%d", rand.N(1000))}); err != nil {
			s.t.Fatal(err)
		}
	}
	s.sign()
}

func (s *service) sign() {
	s.t.Helper()
	if err := s.log.step(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// bodies returns the stored entries.
func (s *service) bodies() [][]byte {
	s.t.Helper()
	page, err := s.hub.Read(s.t.Context(), Stream, 0, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	var out [][]byte
	for _, e := range page.Entries {
		out = append(out, e.Body)
	}
	return out
}

// verify is what `audit verify --data DIR` does.
func (s *service) verify(peer Public, heads ...string) Report {
	s.t.Helper()
	base, err := ReadBase(s.t.Context(), s.hub)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := Verify(s.t.Context(), VerifyOptions{Read: s.hub.Read, Dir: filepath.Join(s.dir, "audit"), Log: s.keys.Public(), Peer: peer,
		Base: base, Heads: heads})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func TestUpdate_changeAndEntryAreOneCommit(t *testing.T) {
	t.Parallel()
	hub := feed.NewHub(memstore.New(store.Schema{Service: "test", Kinds: []store.Kind{{Name: "x"}}}))
	scene := &Context{Actor: Actor{Sub: "u"}, Origin: "control-center", Op: "createX", RequestID: "r",
		Decision: &DecisionRecord{Allowed: true, Rule: "p1/0", Policy: 3}}
	ctx := WithContext(t.Context(), scene)
	runs := 0
	act := EntryDraft{Action: "x.create", Details: map[string]any{"given": 1}}
	key := store.Key{Kind: "x", ID: "1"}
	r, err := Update(ctx, hub, &act, func(tx *store.Tx) error {
		runs++
		if _, err := tx.Get(key); err != nil {
			return err
		}
		if runs == 1 { // somebody is faster
			if _, err := hub.Commit(ctx, store.Batch{Writes: []store.Write{{Key: key, Expect: store.Any(), Body: []byte(`{}`)}}}); err != nil {
				return err
			}
			act.Details["stale"] = 1
		}
		act.Resource = "xs/1"
		tx.Put(key, nil, []byte(`{"a":1}`))
		return nil
	})
	if err != nil || runs != 2 || !scene.Recorded() {
		t.Fatal(err, runs, scene.Recorded())
	}
	page, _ := hub.Read(ctx, Stream, 0, 10)
	doc, _ := hub.Get(ctx, key)
	if len(page.Entries) != 1 || doc.Rev != r.Rev || len(r.Seqs) != 1 {
		t.Fatalf("%d entries, document %d, commit %d", len(page.Entries), doc.Rev, r.Rev)
	}
	var e Entry
	if err := json.Unmarshal(page.Entries[0].Body, &e); err != nil {
		t.Fatal(err)
	}
	if e.Resource != "xs/1" || e.Actor.Sub != "u" || e.Decision.Rule != "p1/0" || e.RequestID != "r" || e.Details["stale"] != nil ||
		e.Details["given"] != 1.0 {
		t.Errorf("%s", page.Entries[0].Body)
	}
	boom := fault.New(fault.Conflict, "x.no", "no")
	if _, err := Update(t.Context(), hub, &EntryDraft{Action: "x"}, func(*store.Tx) error { return boom }); err != boom {
		t.Errorf("fn's error came back as %v", err)
	}
	if page, _ := hub.Read(ctx, Stream, 0, 10); len(page.Entries) != 1 {
		t.Error("a refused change left an entry")
	}
}

func TestTree_isTlogs(t *testing.T) {
	t.Parallel()
	var mine tree
	h := &hashes{}
	for n := range int64(300) {
		leaf := tlog.RecordHash([]byte{byte(n), byte(n >> 8)})
		want, err := tlog.StoredHashesForRecordHash(n, leaf, h)
		if err != nil {
			t.Fatal(err)
		}
		got := mine.add(leaf, nil)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("stored hashes of leaf %d", n)
		}
		_ = h.append(got)
		root, err := tlog.TreeHash(n+1, h)
		if err != nil || root != mine.root() {
			t.Fatalf("root of %d", n+1)
		}
		if h.leaves() != n+1 {
			t.Fatalf("%d leaves, want %d", h.leaves(), n+1)
		}
		if loaded, err := loadTree(n+1, h); err != nil || loaded.root() != root {
			t.Fatalf("loaded tree of %d: %v", n+1, err)
		}
	}
}

// TestProofs_verifyWithAnotherLibrary is L12.
func TestProofs_verifyWithAnotherLibrary(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	s.add(257)
	plain := func(p []tlog.Hash) (out [][]byte) {
		for i := range p {
			out = append(out, p[i][:])
		}
		return out
	}
	bodies := s.bodies()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 1000 {
		size := 1 + r.Int64N(257)
		index, old := r.Int64N(size), 1+r.Int64N(size)
		root, _ := s.log.rootAt(size)
		oldRoot, _ := s.log.rootAt(old)
		path, err := s.log.inclusion(index, size)
		if err != nil {
			t.Fatal(err)
		}
		leaf := rfc6962.DefaultHasher.HashLeaf(bodies[index])
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(size), leaf, plain(path), root[:]); err != nil {
			t.Fatalf("inclusion of %d in %d: %v", index, size, err)
		}
		cons, err := s.log.consistency(old, size)
		if err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(old), uint64(size), plain(cons), oldRoot[:], root[:]); err != nil {
			t.Fatalf("consistency %d to %d: %v", old, size, err)
		}
	}
}

// TestBundle_verifiesOfflineAndOnlyUnchanged is L12 for the bundle.
func TestBundle_verifiesOfflineAndOnlyUnchanged(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	s.add(20)
	b, err := s.log.Bundle(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(b)
	var back Bundle
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if err := back.Verify(s.keys.Public()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Bundle){
		"entry": func(b *Bundle) { b.Entry = strings.Replace(b.Entry, "success", "failure", 1) },
		"entry and hash": func(b *Bundle) {
			b.Entry = strings.Replace(b.Entry, "success", "failure", 1)
			b.LeafHash = tlog.RecordHash([]byte(b.Entry))
		},
		"index":  func(b *Bundle) { b.Index++ },
		"origin": func(b *Bundle) { b.Origin = "other" },
		"path":   func(b *Bundle) { b.Path = b.Path[1:] },
		"head":   func(b *Bundle) { b.Treehead = strings.Replace(b.Treehead, "\n20\n", "\n21\n", 1) },
	} {
		c := back
		change(&c)
		if c.Verify(s.keys.Public()) == nil {
			t.Errorf("a changed %s verifies", name)
		}
	}
	other, _ := MakeKeys(t.TempDir(), "test/audit/orchestrator")
	if back.Verify(other.Public()) == nil || back.Verify(s.keys.Public(), other.Public()) == nil {
		t.Error("verifies with other keys, or without a demanded witness")
	}
	if err := Record(t.Context(), s.hub, EntryDraft{Action: "a"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.log.Bundle(t.Context(), 20); fault.CodeOf(err) != "audit.not_signed_yet" {
		t.Errorf("not signed yet: %v", err)
	}
	if _, err := s.log.Bundle(t.Context(), 21); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such entry: %v", err)
	}
}

func TestRun_signsWithinASecondAndAtTheEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		keys, err := MakeKeys(filepath.Join(dir, "keys"), "test/audit/orchestrator")
		if err != nil {
			t.Fatal(err)
		}
		hub := feed.NewHub(memstore.New(store.Schema{Service: "test", Kinds: Kinds()}))
		log, err := Open(t.Context(), Options{DB: hub, Dir: filepath.Join(dir, "audit"), Keys: keys, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = log.Run(ctx) }()
		for n := range int64(30) {
			if err := Record(ctx, hub, EntryDraft{Action: "a"}); err != nil {
				t.Fatal(err)
			}
			if n%7 == 0 {
				<-time.After(time.Second)
				synctest.Wait()
				if got := log.Head().Size; got != n+1 {
					t.Fatalf("a second after entry %d the head is of size %d", n+1, got)
				}
			}
			<-time.After(13 * time.Millisecond)
		}
		_ = Record(ctx, hub, EntryDraft{Action: "last"})
		stop()
		<-done
		data, _ := os.ReadFile(filepath.Join(dir, "audit", "treehead"))
		h, err := openHead(string(data), keys.Public())
		if err != nil || h.Size != 31 {
			t.Fatalf("a clean stop left size %d: %v", h.Size, err)
		}
		r, err := Verify(context.Background(), VerifyOptions{Read: hub.Read, Dir: filepath.Join(dir, "audit"), Log: keys.Public()})
		if err != nil || !r.OK || r.UnsignedTail != 0 {
			t.Fatalf("%+v %v", r, err)
		}
	})
}

func TestOpen_afterACrashBetweenCommitAndHead(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	s.add(10)
	if err := Record(t.Context(), s.hub, EntryDraft{Action: "a"}); err != nil {
		t.Fatal(err)
	}
	if r := s.verify(Public{}); !r.OK || r.UnsignedTail != 1 || !strings.Contains(r.Text, "unsigned tail: 1 entries") {
		t.Errorf("%+v", r)
	}
	s.open() // the crash: nothing was signed
	s.sign()
	if st := s.log.Status(); st.Signed != 11 || s.hub.Refused() != nil {
		t.Errorf("%+v", st)
	}
	// Hashes written, head not.
	_ = Record(t.Context(), s.hub, EntryDraft{Action: "a"})
	if err := s.log.extend(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	s.open()
	s.sign()
	if r := s.verify(Public{}); !r.OK || r.Signed != 12 {
		t.Errorf("%+v", r)
	}
}

// holed is a store out of which somebody took one entry.
type holed struct {
	store.DB
	seq uint64
}

func (h *holed) Read(ctx context.Context, stream string, after uint64, limit int) (store.Entries, error) {
	page, err := h.DB.Read(ctx, stream, after, limit)
	page.Entries = slices.DeleteFunc(page.Entries, func(e store.Entry) bool { return e.Seq == h.seq })
	return page, err
}

func TestRun_aMissingEntryIsNotSignedOver(t *testing.T) {
	t.Parallel()
	for name, missing := range map[string]uint64{"in the middle": 13, "the last one": 15, "none": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, "test/audit/orchestrator")
			s.add(10)
			s.hub.DB = &holed{s.hub.DB, missing}
			s.add(5)
			want, most := Altered, int64(missing)-1
			if missing == 0 {
				want, most = OK, 15
			}
			if st := s.log.Status(); st.State != want || st.Signed > most {
				t.Errorf("%+v", st)
			}
			if err := Record(t.Context(), s.hub, EntryDraft{Action: "a"}); (err == nil) != (missing == 0) {
				t.Errorf("a change after it: %v", err)
			}
		})
	}
}

func TestOpen_damagedHashesAreComputedAgain(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	s.add(40)
	path := filepath.Join(s.dir, "audit", "hashes")
	good, _ := os.ReadFile(path)
	for name, data := range map[string][]byte{"flipped": append([]byte{good[0] ^ 1}, good[1:]...), "gone": {}, "short": good[:100]} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s.open()
		s.sign()
		if now, _ := os.ReadFile(path); string(now) != string(good) {
			t.Errorf("%s: not computed again", name)
		}
		if st := s.log.Status(); st.State != OK {
			t.Errorf("%s: %+v", name, st)
		}
		_ = os.WriteFile(path, good, 0o600)
	}
}

func TestOpen_refusesChangesOnAShorterOrOtherStore(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	s.add(10)
	all := s.bodies()
	for n := range all {
		s.store(all[:n])
		s.open()
		err := Record(t.Context(), s.hub, EntryDraft{Action: "a"})
		if s.log.Status().State != RolledBack || fault.CodeOf(err) != "audit.rolled_back" || !fault.Is(err, fault.Unavailable) {
			t.Fatalf("cut to %d: %+v %v", n, s.log.Status(), err)
		}
	}
	changed := append([][]byte{}, all...)
	changed[4] = []byte(strings.Replace(string(all[4]), "success", "failure", 1))
	s.store(changed)
	s.open()
	if err := Record(t.Context(), s.hub, EntryDraft{Action: "a"}); s.log.Status().State != Altered || fault.CodeOf(err) != "audit.altered" {
		t.Fatalf("%+v %v", s.log.Status(), err)
	}
	s.store(all)
	s.open()
	s.add(1)
	if r := s.verify(Public{}); !r.OK {
		t.Errorf("%+v", r)
	}
}

func TestOpen_inMemoryIsANewLogEachTime(t *testing.T) {
	t.Parallel()
	keys, err := MakeKeys(t.TempDir(), "test/audit/control-center")
	if err != nil {
		t.Fatal(err)
	}
	hub := feed.NewHub(memstore.New(store.Schema{Service: "test", Kinds: Kinds()}))
	log, err := Open(t.Context(), Options{DB: hub, Keys: keys, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	_ = Record(t.Context(), hub, EntryDraft{Action: "a"})
	if err := log.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h, err := openHead(log.Head().Note, log.Public()); err != nil || h.Size != 1 || h.Origin == keys.Public().Origin() {
		t.Errorf("%+v %v", h, err)
	}
}

func storeEntry(index int, body []byte) store.Entry {
	return store.Entry{Seq: uint64(index) + 1, Body: body}
}

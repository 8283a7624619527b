package audit

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
)

// fill records many entries at once and signs them.
func (s *service) fill(n int) {
	s.t.Helper()
	for n > 0 {
		var b store.Batch
		for range min(n, 1000) {
			body, err := EntryDraft{Action: "server.create", Resource: fmt.Sprintf("servers/web-%d", rand.N(1000))}.Entry(s.t.Context(),
				time.Now()).Encode()
			if err != nil {
				s.t.Fatal(err)
			}
			b.Appends = append(b.Appends, store.Append{Stream: Stream, Body: body})
		}
		if _, err := s.hub.Commit(s.t.Context(), b); err != nil {
			s.t.Fatal(err)
		}
		n -= len(b.Appends)
	}
	s.sign()
}

func (s *service) archive(folder string) Archived {
	s.t.Helper()
	done, err := s.log.Archive(s.t.Context(), folder, time.Now().Add(time.Hour))
	if err != nil {
		s.t.Fatal(err)
	}
	return done
}

// provable checks the proof of every kept entry of a sample with the second implementation of the
// tree.
func (s *service) provable(first int64) {
	s.t.Helper()
	for index := first; index < s.log.Head().Size; index += 1 + (s.log.Head().Size-first)/40 {
		b, err := s.log.Bundle(s.t.Context(), index)
		if err != nil {
			s.t.Fatalf("entry %d: %v", index, err)
		}
		h, err := openHead(b.Treehead, s.keys.Public())
		if err != nil {
			s.t.Fatal(err)
		}
		var path [][]byte
		for _, p := range b.Path {
			path = append(path, p[:])
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(h.Size), b.LeafHash[:], path, h.Root[:]); err != nil {
			s.t.Errorf("entry %d: %v", index, err)
		}
	}
}

// TestArchive_entriesLeaveTheStreamAndStayProvable archives three times into one folder, with
// restarts, and checks after each what is there, what is in the folder, and that the log goes on.
func TestArchive_entriesLeaveTheStreamAndStayProvable(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	folder := filepath.Join(t.TempDir(), "archive")
	s.fill(100)
	if done := s.archive(folder); done.Through != 0 {
		t.Errorf("less than a tile: %+v", done)
	}
	last := int64(0)
	for round, n := range []int{600, 3000, 3} {
		s.fill(n)
		before := s.log.Head().Size
		done := s.archive(folder)
		if done.First != last || done.Through != before/256*256 {
			t.Fatalf("round %d: %+v of %d entries", round, done, before)
		}
		last = done.Through
		page, err := s.hub.Read(t.Context(), Stream, 0, 1)
		if err != nil || int64(page.First) != last+1 {
			t.Fatalf("round %d: kept from %d on, %v", round, page.First, err)
		}
		if r, err := VerifyArchive(folder, s.keys.Public(), Public{}); err != nil || !r.OK || r.Entries != last || r.Signed != last {
			t.Fatalf("round %d: %+v, %v", round, r, err)
		}
		s.open()
		if st := s.log.Status(); st.State != OK {
			t.Fatalf("round %d, after a restart: %+v", round, st)
		}
		if r := s.verify(Public{}); !r.OK || r.First != last || r.Signed != s.log.Head().Size {
			t.Fatalf("round %d: %+v", round, r)
		}
		s.provable(last)
		if _, err := s.log.Bundle(t.Context(), last-1); fault.CodeOf(err) != "audit.archived" {
			t.Errorf("round %d: an archived entry: %v", round, err)
		}
	}
}

// TestArchive_lostHashesAreNoLoss damages and removes the stored hashes behind an archive: what
// is kept stays provable, and the log goes on.
func TestArchive_lostHashesAreNoLoss(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"removed", "damaged", "cut"} {
		s := newService(t, "test/audit/orchestrator")
		s.fill(5000)
		root := s.log.Status().Root
		done := s.archive(filepath.Join(t.TempDir(), "archive"))
		path := filepath.Join(s.dir, "audit", "hashes")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		switch name {
		case "damaged":
			data[len(data)-40] ^= 1
		case "cut":
			data = data[:len(data)/3]
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if name != "removed" {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s.open()
		s.fill(700)
		if st := s.log.Status(); st.State != OK || st.Size != 5701 || st.Root == root {
			t.Errorf("%s: %+v", name, st)
		}
		s.provable(done.Through)
	}
}

// TestArchive_everyChangeIsFound changes each file of an archive in turn.
func TestArchive_everyChangeIsFound(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	folder := filepath.Join(t.TempDir(), "archive")
	s.fill(1000)
	s.archive(folder)
	files := 0
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == archiveFile {
			return err
		}
		good, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, change := range [][]byte{slices.Concat(good[:len(good)/2], []byte{good[len(good)/2] ^ 1}, good[len(good)/2+1:]),
			good[:len(good)-1], {}, nil} {
			if change == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, change, 0o600)
			}
			if err != nil {
				return err
			}
			if r, err := VerifyArchive(folder, s.keys.Public(), Public{}); err == nil && r.OK {
				t.Errorf("%s of %d bytes instead of %d: %+v", path, len(change), len(good), r)
			}
		}
		return os.WriteFile(path, good, 0o600)
	})
	if err != nil || files < 8 {
		t.Errorf("%d files, %v", files, err)
	}
	if r, err := VerifyArchive(folder, s.keys.Public(), Public{}); err != nil || !r.OK {
		t.Errorf("put back: %+v, %v", r, err)
	}
	stranger := newService(t, "test/audit/orchestrator")
	if r, err := VerifyArchive(folder, stranger.keys.Public(), Public{}); err != nil || r.Verdict != foundBadHead {
		t.Errorf("with other keys: %+v, %v", r, err)
	}
}

// TestArchive_aForgedBeginningIsNeverCalledIntact changes archive.json, which nobody signs.
func TestArchive_aForgedBeginningIsNeverCalledIntact(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	folder := filepath.Join(t.TempDir(), "archive")
	s.fill(1000)
	s.archive(folder)
	path := filepath.Join(folder, archiveFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"nothing":         {`"first":0`, `"first":768`},
		"behind its end":  {`"first":0`, `"first":1024`},
		"within a tile":   {`"first":0`, `"first":100`},
		"below 0":         {`"first":0`, `"first":-256`},
		"first twice":     {`"first":0`, `"first":512,"first":0`},
		"another case":    {`"first":0`, `"First":0`},
		"unknown members": {`"first":0`, `"first":0,"approved":true`},
	} {
		forged := strings.Replace(string(raw), change[0], change[1], 1)
		if forged == string(raw) {
			t.Fatalf("%s: nothing changed in %s", name, raw)
		}
		if err := os.WriteFile(path, []byte(forged), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := VerifyArchive(folder, s.keys.Public(), Public{}); err != nil || r.OK || r.Verdict != foundMalformed {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// TestArchive_keepsWhatOthersHaveNotSeen stops at the cosigned head, at the slowest follower and
// at the age.
func TestArchive_keepsWhatOthersHaveNotSeen(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.one.fill(1000)
	p.settle()
	seen := p.one.log.Status().Witnessed
	p.one.fill(1000)
	folder := filepath.Join(t.TempDir(), "archive")
	if done := p.one.archive(folder); done.Through != seen/256*256 || done.Through == 0 {
		t.Errorf("%d are cosigned: %+v", seen, done)
	}
	if r, err := VerifyArchive(folder, p.one.keys.Public(), p.two.keys.Public()); err != nil || !r.OK || r.Witnessed != seen/256*256 {
		t.Errorf("%+v, %v", r, err)
	}
	p.settle()
	if _, err := store.Update(t.Context(), p.one.hub, func(tx *store.Tx) error {
		return feed.Cursors.Save(tx, feed.Cursor{Name: "copy", Stream: Stream, Seq: 1300})
	}); err != nil {
		t.Fatal(err)
	}
	if done := p.one.archive(folder); done.Through != 1280 {
		t.Errorf("a follower stands at 1300: %+v", done)
	}
	done, err := p.one.log.Archive(t.Context(), folder, time.Now().Add(-time.Hour))
	if err != nil || done.First != done.Through {
		t.Errorf("nothing is an hour old: %+v, %v", done, err)
	}
	p.settle() // the peer goes on to cosign
	if st := p.one.log.Status(); st.State != OK || st.Witnessed < 2000 {
		t.Errorf("%+v", st)
	}
}

// TestArchive_anotherFolderGoesOn archives into a second folder, which proves its own part alone.
func TestArchive_anotherFolderGoesOn(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	s.fill(66_000) // a full tile of the second level
	first := s.archive(one)
	s.fill(1000)
	second := s.archive(two)
	r, err := VerifyArchive(two, s.keys.Public(), Public{})
	if err != nil || !r.OK || r.Entries != second.Through-first.Through || r.Signed != second.Through {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := s.log.Archive(t.Context(), one, time.Now().Add(time.Hour)); err != nil {
		t.Error(err) // nothing to do
	}
	s.fill(300)
	if _, err := s.log.Archive(t.Context(), one, time.Now().Add(time.Hour)); err == nil ||
		!strings.Contains(err.Error(), "does not verify") {
		t.Errorf("into the first folder again, which lacks the second's entries: %v", err)
	}
	if page, err := s.hub.Read(t.Context(), Stream, 0, 1); err != nil || int64(page.First) != second.Through+1 {
		t.Errorf("trimmed all the same: kept from %d on, %v", page.First, err)
	}
}

func TestBundle_isReadBackAsItWas(t *testing.T) {
	t.Parallel()
	entries := make([]store.Entry, tileWidth)
	for i := range entries {
		entries[i] = store.Entry{Seq: uint64(i + 1), Body: bytes.Repeat([]byte("x"), i*entryBytes/(tileWidth-1))}
	}
	b, err := bundleOf(entries, 0)
	if err != nil {
		t.Fatal(err)
	}
	back, err := splitBundle(b)
	if err != nil || len(back) != tileWidth ||
		!slices.EqualFunc(back, entries, func(b []byte, e store.Entry) bool { return bytes.Equal(b, e.Body) }) {
		t.Errorf("%d entries, %v", len(back), err)
	}
	entries[3].Body = make([]byte, entryBytes+1)
	if _, err := bundleOf(entries, 0); err == nil {
		t.Error("an entry that is too long")
	}
	if _, err := bundleOf(entries[1:], 0); err == nil {
		t.Error("an entry too few")
	}
}

// TestVerify_behindAnArchive finds damage in what is kept, and a trim that nobody recorded.
func TestVerify_behindAnArchive(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	s.fill(1000)
	early := s.log.Head().Note
	s.archive(filepath.Join(t.TempDir(), "archive"))
	s.add(3)
	base, err := ReadBase(t.Context(), s.hub)
	if err != nil || base.Size != 768 {
		t.Fatalf("%+v, %v", base, err)
	}
	kept := s.bodies()
	report := func(base ArchivedBase, bodies [][]byte) Report {
		t.Helper()
		r, err := Verify(t.Context(), VerifyOptions{Read: readerOf(int(base.Size), bodies), Dir: filepath.Join(s.dir, "audit"),
			Log: s.keys.Public(), Base: base, Heads: []string{early}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := report(base, kept); !r.OK || r.First != 768 || r.Entries != 768+int64(len(kept)) ||
		!strings.Contains(r.Text, "before index 768 were archived") {
		t.Fatalf("%+v", r)
	}
	for i := range kept {
		bad := slices.Clone(kept)
		bad[i] = bytes.Clone(kept[i])
		bad[i][len(bad[i])/2] ^= 1
		if r := report(base, bad); r.OK || r.Verdict != foundFlipped || r.Index == nil || *r.Index != int64(768+i) {
			t.Errorf("entry %d: %+v", i, r)
		}
	}
	forged := base
	forged.Roots = slices.Clone(base.Roots)
	forged.Roots[0][3] ^= 1
	if r := report(forged, kept); r.OK {
		t.Errorf("another past: %+v", r)
	}
	more, err := baseOf(800, s.log.hashes)
	if err != nil {
		t.Fatal(err)
	}
	if r := report(more, kept[800-768:]); r.OK || r.Verdict != foundTruncated {
		t.Errorf("entries that were removed and not archived: %+v", r)
	}
	var out bytes.Buffer
	if err := Export(t.Context(), VerifyOptions{Read: s.hub.Read, Dir: filepath.Join(s.dir, "audit"), Log: s.keys.Public(), Base: base},
		&out); err != nil {
		t.Fatal(err)
	}
	r, err := Verify(t.Context(), VerifyOptions{Export: &out, Log: s.keys.Public()})
	if err != nil || !r.OK || r.First != 768 {
		t.Errorf("an export: %+v, %v", r, err)
	}
}

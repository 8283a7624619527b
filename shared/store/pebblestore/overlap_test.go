package pebblestore

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// TestCommit_nobodyIsAnsweredOnAnUnsyncedGroup lets two groups meet in the engine: the second is judged on what the
// first wrote while that is being synced. Its refusal must not get out before, for without the first there is none.
func TestCommit_nobodyIsAnsweredOnAnUnsyncedGroup(t *testing.T) {
	t.Parallel()
	for name, disk := range map[string]error{"the sync succeeds": nil, "the sync fails": errDisk} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var hold atomic.Pointer[chan error]
			var held atomic.Int64 // syncs that were held so far
			mem := vfs.NewCrashableMem()
			s := openOn(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if c := hold.Load(); c != nil && strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
					held.Add(1)
					return <-*c
				}
				return nil
			})))
			// send is Commit as far as the committer sees it. The size makes each request a group of its own.
			send := func(id string) *request {
				p := &parcel{bytes: make([]byte, maxGroupBytes), batch: store.Batch{
					Writes:  []store.Write{{Key: store.Key{Kind: "task", ID: id}, Expect: store.Absent(), Body: []byte(`{}`)}},
					Appends: []store.Append{{Stream: "events", Body: []byte(`{}`)}},
				}}
				r := &request{parcel: p, answer: make(chan store.Verdict, 1)}
				s.requests <- r
				return r
			}
			until := func(done func() bool) {
				for !done() {
					runtime.Gosched()
				}
			}
			head := func(db *Store) string {
				e, err := db.Read(t.Context(), "events", store.Latest, 0)
				return fmt.Sprint(e.Head, err)
			}
			first, second := make(chan error), make(chan error)
			hold.Store(&first)
			before := send("0")
			until(func() bool { return held.Load() == 1 })
			written, refused := send("1"), send("1")
			hold.Store(&second)
			close(first)
			if v := <-before.answer; v.Err != nil {
				t.Error(v.Err)
			}
			until(func() bool { return held.Load() == 2 && len(s.requests) == 0 })
			for range 1000 {
				runtime.Gosched()
			}
			if len(written.answer)+len(refused.answer) > 0 {
				t.Error("answered before the sync")
			}
			if h := head(s); h != "1 <nil>" {
				t.Errorf("readers see %s before the sync", h)
			}
			hold.Store(nil)
			second <- disk
			want := "2 <nil>"
			if disk == nil {
				if v := <-written.answer; v.Err != nil {
					t.Error(v.Err)
				}
				if v := <-refused.answer; !fault.Is(v.Err, fault.Conflict) {
					t.Errorf("the second one for the same document: %v", v.Err)
				}
			} else {
				want = "1 <nil>"
				<-s.dead // which is what callers then answer with
				if len(refused.answer) > 0 {
					t.Error("answered although the store has ended")
				}
			}
			if err := s.Close(); disk == nil && err != nil {
				t.Error(err)
			}
			again := openOn(t, mem.CrashClone(vfs.CrashCloneCfg{}))
			if h := head(again); h != want {
				t.Errorf("%s after a crash, want %s", h, want)
			}
			if err := again.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

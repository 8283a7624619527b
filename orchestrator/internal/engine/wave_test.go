package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

// small makes the waves of a rollback small.
func small(c *engine.Config) { c.Wave = 4 }

// fleet submits batches of some operations, each on what the one before made, and waits for their
// end.
func (s *started) fleet(batches int) {
	for b := range batches {
		s.ended(s.submit(batch(
			servers("a", nil, fmt.Sprintf("a%d", b), fmt.Sprintf("b%d", b)),
			services("k", []string{"a"}, "x", "y"),
			servers("z", nil, fmt.Sprintf("z%d", b)),
		)).Run.ID)
	}
}

// inOrder says what is wrong with the order in which a fleet was undone.
func inOrder(undos []string) string {
	for i, u := range undos {
		service, server, isService := strings.Cut(strings.TrimPrefix(u, "undo "), " on ")
		if !isService {
			continue
		}
		if at := slices.Index(undos, "undo "+server); at >= 0 && at < i {
			return service + " was undone after its server " + server
		}
	}
	return ""
}

// TestRollback_inWavesOfAnySizeEverythingOnce undoes many more effects than a wave has.
func TestRollback_inWavesOfAnySizeEverythingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w, small)
		<-time.After(time.Millisecond)
		e.fleet(1)
		c := e.checkpoint("cut")
		e.fleet(7)
		before := len(w.log())
		got, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
		if err != nil || got.Executed != 21 || got.Planned != 21 || got.Failed != 0 || e.operations(c) != 0 {
			t.Fatalf("%+v, %v; %d operations left", got, err, e.operations(c))
		}
		undos := w.log()[before:]
		if len(undos) != 7*7 || len(dedup(undos)) != len(undos) || inOrder(undos) != "" || w.left() != 7 {
			t.Errorf("%d undos, %d effects left; %s", len(undos), w.left(), inOrder(undos))
		}
		rows, err := db.List(t.Context(), store.Query{Kind: "definition", Prefix: got.ID, Limit: 100})
		if err != nil || len(rows.Docs) != 0 {
			t.Errorf("%d waves are left, %v", len(rows.Docs), err)
		}
		if h, err := run.Headers().Window(context.Background(), e.DB, store.Place{Limit: 1},
			store.Query{Index: "kind", Prefix: string(dag.Rollback), Exact: true}); err != nil || h.Rows[0].Value.Undo.Wave < 7 {
			t.Errorf("%+v, %v: too few waves to show anything", h.Rows, err)
		}
	})
}

// TestRollback_ofManyNamedOperationsGoesInWavesToo names the first batch's servers and takes along
// what is on them.
func TestRollback_ofManyNamedOperationsGoesInWavesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		e := start(t, memory(), w, small)
		<-time.After(time.Millisecond)
		id := e.submit(batch(servers("a", nil, "a0", "a1"))).Run.ID
		e.ended(id)
		for i := range 9 {
			sub := batch(services("k", nil, fmt.Sprint("s", i)))
			sub.Definition.Nodes[0].Operation.Targets = []string{"a0", "a1"}
			e.ended(e.submit(sub).Run.ID)
		}
		if _, err := e.Rollback(scene(), rollback.Request{Operations: []string{id + "/a"}}); !fault.Is(err, fault.Conflict) ||
			!strings.Contains(err.Error(), "server a") {
			t.Errorf("without cascade: %v", err)
		}
		got, err := e.Rollback(scene(), rollback.Request{Operations: []string{id + "/a"}, Cascade: true})
		undos := w.log()[20:]
		if err != nil || got.Executed != 10 || w.left() != 0 || inOrder(undos) != "" || len(undos) != 20 {
			t.Errorf("%+v, %v, %d left; %s in %v", got, err, w.left(), inOrder(undos), undos)
		}
	})
}

// TestRollback_killedAtEveryCommitOfEveryWave kills the process at each commit of a rollback in
// several waves, before and after it took effect. The next process finishes it, and nothing is
// undone twice or before what stands on it.
func TestRollback_killedAtEveryCommitOfEveryWave(t *testing.T) {
	run := func(t *testing.T, kill int, m storetest.Moment) (commits int) {
		w, db := newWorld(), memory()
		w.delay = 10 * time.Millisecond
		e := start(t, db, w, small)
		<-time.After(time.Millisecond)
		c := e.checkpoint("cut")
		e.fleet(3)
		e.stop()
		dead := make(chan struct{})
		faulty := storetest.Faulty(db, func(i int, _ store.Batch) storetest.Moment {
			switch {
			case kill > 0 && i == kill:
				close(dead)
				return m
			case kill > 0 && i > kill:
				return storetest.Before
			}
			return storetest.Never
		})
		e = start(t, faulty, w, small)
		<-time.After(time.Second)
		before := len(w.log())
		q := rollback.Request{ID: "01890000-0000-7000-8000-000000000009", Checkpoint: c.ID}
		done := make(chan error, 1)
		go func() {
			_, err := e.Rollback(scene(), q)
			done <- err
		}()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-dead:
			e.stop()
			<-done
			e = start(t, db, w, small)
			<-time.After(time.Minute)
			if got, err := e.Rollback(scene(), q); err != nil || !got.Ended || got.Failed != 0 || got.Executed != 9 {
				t.Errorf("commit %d moment %d: %+v, %v", kill, m, got, err)
			}
		}
		undos := w.log()[before:]
		if w.left() != 0 || e.operations(c) != 0 || len(undos) != 3*7 || len(dedup(undos)) != len(undos) || inOrder(undos) != "" {
			t.Errorf("commit %d moment %d: %d left, %d undos; %s", kill, m, w.left(), len(undos), inOrder(undos))
		}
		e.stop()
		return faulty.Commits()
	}
	commits := 0
	synctest.Test(t, func(t *testing.T) { commits = run(t, 0, storetest.Never) })
	if commits < 12 {
		t.Fatalf("%d commits: too few to show anything", commits)
	}
	for n := 1; n <= commits; n++ {
		for _, m := range []storetest.Moment{storetest.Before, storetest.After} {
			synctest.Test(t, func(t *testing.T) { run(t, n, m) })
		}
	}
}

// TestRollback_worksWhenRunsAndTasksAreDeleted deletes all that retention may delete: ended runs
// with their definitions and tasks. What is undone then is found in the effects.
func TestRollback_worksWhenRunsAndTasksAreDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w, small)
		<-time.After(time.Millisecond)
		c := e.checkpoint("cut")
		e.fleet(3)
		first := every(t, db, "run")[0].Key.ID
		var task string
		for _, kind := range []string{"run", "definition", "task"} {
			var b store.Batch
			for _, d := range every(t, db, kind) {
				b.Writes = append(b.Writes, store.Write{Key: d.Key, Expect: store.Any(), Action: store.Delete})
				if kind == "task" && task == "" && strings.Contains(string(d.Body), `"operation":"z"`) {
					task = d.Key.ID
				}
			}
			if _, err := db.Commit(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := e.Rollback(scene(), rollback.Request{Operations: []string{first + "/a"}}); !fault.Is(err, fault.Conflict) {
			t.Errorf("what stands on it is not known any more: %v", err)
		}
		if _, err := e.Rollback(scene(), rollback.Request{Operations: []string{first + "/ghost"}}); !fault.Is(err, fault.NotFound) {
			t.Errorf("an operation that never was: %v", err)
		}
		for ref, want := range map[string]int{first + "/k": 1, task: 1} {
			if got, err := e.Rollback(scene(), rollback.Request{Operations: []string{ref}}); err != nil || got.Executed != want {
				t.Errorf("%s: %+v, %v", ref, got, err)
			}
		}
		w.fails("undo a1", dag.Result{Class: dag.Permanent, Error: "no"})
		got, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
		if err != nil || got.Executed != 6 || got.Failed != 1 || len(got.Failures) != 1 ||
			!strings.Contains(got.Failures[0].Error, "a1: no") || w.left() != 1 {
			t.Errorf("%+v, %v, %d left", got, err, w.left())
		}
		if n := len(every(t, db, "task")); n != 0 {
			t.Errorf("%d tasks came back", n)
		}
		if got, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID}); err != nil || got.Executed != 1 || w.left() != 0 {
			t.Errorf("again: %+v, %v, %d left", got, err, w.left())
		}
	})
}

// TestRollback_deletedWhileItGoesOn deletes tasks under a rollback, as retention does.
func TestRollback_deletedWhileItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w)
		<-time.After(time.Millisecond)
		c := e.checkpoint("cut")
		e.fleet(3)
		w.mu.Lock()
		w.delay = time.Second
		w.mu.Unlock()
		done := make(chan rollback.Summary, 1)
		go func() {
			got, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
			if err != nil {
				t.Error(err)
			}
			done <- got
		}()
		<-time.After(1500 * time.Millisecond)
		var b store.Batch
		for _, d := range every(t, db, "task") {
			b.Writes = append(b.Writes, store.Write{Key: d.Key, Expect: store.Any(), Action: store.Delete})
		}
		if _, err := db.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if got := <-done; got.Executed != 9 || got.Failed != 0 || w.left() != 0 || len(every(t, db, "task")) != 0 {
			t.Errorf("%+v, %d left, %d tasks came back", got, w.left(), len(every(t, db, "task")))
		}
	})
}

// blind is a store that cannot read effects while it is on.
type blind struct {
	store.DB
	on atomic.Bool
}

func (b *blind) List(ctx context.Context, q store.Query) (store.Page, error) {
	if b.on.Load() && q.Kind == "effect" {
		return store.Page{}, store.ErrUnavailable
	}
	return b.DB.List(ctx, q)
}

// TestRollback_refusedStopsNothing: whatever the reason for which a rollback is refused, what runs
// goes on.
func TestRollback_refusedStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), &blind{DB: memory()}
		e := start(t, db, w)
		<-time.After(time.Millisecond)
		c := e.checkpoint("cut")
		e.ended(e.submit(workflow("a")).Run.ID)
		w.mu.Lock()
		w.delay = 10 * time.Second
		w.mu.Unlock()
		id := e.submit(workflow("b")).Run.ID
		<-time.After(time.Second)
		for kind, q := range map[fault.Kind]rollback.Request{
			fault.NotFound:    {Checkpoint: id},
			fault.Conflict:    {Operations: []string{id}},
			fault.Invalid:     {},
			fault.Unavailable: {Checkpoint: c.ID}, // what it would undo cannot be read
		} {
			db.on.Store(kind == fault.Unavailable)
			if _, err := e.Rollback(scene(), q); !fault.Is(err, kind) {
				t.Errorf("%+v: %v", q, err)
			}
		}
		db.on.Store(false)
		if n := len(every(t, db, "run")); n != 2 {
			t.Errorf("%d runs are stored: a refused rollback is among them", n)
		}
		v := e.until(id, func(v run.Batch) bool { return v.Tasks[0].State.Terminal() })
		if v.Tasks[0].State != dag.Succeeded {
			t.Errorf("what ran is %s: %s", v.Tasks[0].State, v.Tasks[0].Error)
		}
	})
}

// TestRollback_killedWhileItWaitsForRunsToEnd: the rollback is stored before anything is stopped,
// so the next process goes on with stopping.
func TestRollback_killedWhileItWaitsForRunsToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w)
		<-time.After(time.Millisecond)
		c := e.checkpoint("cut")
		e.ended(e.submit(workflow("a")).Run.ID)
		w.mu.Lock()
		w.delay = 10 * time.Second
		w.mu.Unlock()
		id := e.submit(batch(servers("one", nil, "s1"), servers("two", []string{"one"}, "s2"))).Run.ID
		<-time.After(time.Second)
		q := rollback.Request{ID: "01890000-0000-7000-8000-000000000009", Checkpoint: c.ID}
		dead := make(chan struct{})
		slow := &slow{DB: db, listed: func(q store.Query) {
			if q.Index == "active" && len(every(t, db, "run")) == 3 {
				select {
				case <-dead:
				default:
					close(dead)
				}
				<-time.After(5 * time.Second)
			}
		}}
		e.stop()
		e = start(t, slow, w)
		<-time.After(time.Second)
		go func() { _, _ = e.Rollback(scene(), q) }()
		<-dead
		e.stop()
		e = start(t, db, w)
		<-time.After(time.Minute)
		got, err := e.Rollback(scene(), q)
		if err != nil || !got.Ended || got.Failed != 0 || w.left() != 0 {
			t.Errorf("%+v, %v, %d left", got, err, w.left())
		}
		if v := e.view(id); v.Run.Status() != dag.StatusCancelled {
			t.Errorf("what ran is %s", v.Run.Status())
		}
	})
}

// TestSubmit_waitsForARollbackThatANewProcessHasNotTakenOverYet: a submission right after a restart
// does not slip in.
func TestSubmit_waitsForARollbackThatANewProcessHasNotTakenOverYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w)
		<-time.After(time.Millisecond)
		c := e.checkpoint("cut")
		e.fleet(1)
		w.mu.Lock()
		w.delay = 10 * time.Second
		w.mu.Unlock()
		go func() { _, _ = e.Rollback(scene(), rollback.Request{Checkpoint: c.ID}) }()
		<-time.After(time.Second)
		e.stop()
		var held atomic.Bool
		e = start(t, &slow{DB: db, listed: func(q store.Query) {
			if q.Index == "active" && held.CompareAndSwap(false, true) {
				<-time.After(5 * time.Second)
			}
		}}, w)
		<-time.After(time.Second)
		id := e.submit(workflow("new")).Run.ID
		<-time.After(10 * time.Second)
		if v := e.view(id); v.Tasks[0].Status() != dag.StatusPending {
			t.Errorf("it is %s while the rollback goes on", v.Tasks[0].Status())
		}
		if v := e.until(id, func(v run.Batch) bool { return v.Tasks[0].State.Terminal() }); v.Tasks[0].State != dag.Succeeded ||
			w.left() != 1 {
			t.Errorf("it ended %s, %d effects are there", v.Tasks[0].State, w.left())
		}
	})
}

// TestEffect_undoneSaysSinceWhenItStood: what was undone, by a batch that failed or by a rollback,
// says from which commit to which it stood, and keeps what it recorded.
func TestEffect_undoneSaysSinceWhenItStood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		w.fails("do bad", dag.Result{Class: dag.Permanent, Error: "no"})
		e := start(t, db, w)
		<-time.After(time.Millisecond)
		c := e.checkpoint("cut")
		sub := batch(servers("a", nil, "a1", "a2"), servers("b", []string{"a"}, "bad"))
		sub.Definition.RollbackEnabled = true
		e.ended(e.submit(sub).Run.ID)
		e.fleet(1)
		if got, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID}); err != nil || got.Executed != 3 {
			t.Fatalf("%+v, %v", got, err)
		}
		docs := every(t, db, "effect")
		for _, d := range docs {
			var x dag.Effect
			if err := json.Unmarshal(d.Body, &x); err != nil {
				t.Fatal(err)
			}
			if x.Progress.Applied || x.Progress.State != dag.Undone || x.Since <= c.Cut || x.Since >= d.Rev || len(x.Recorded.Made) != 1 ||
				len(d.Index) != 0 {
				t.Errorf("at commit %d: %s, %v", d.Rev, d.Body, d.Index)
			}
		}
		if len(docs) != 2+7 || w.left() != 0 {
			t.Errorf("%d effects, %d left", len(docs), w.left())
		}
	})
}

// TestEffect_fitsIntoAKibibyte holds the documents of effects to their bound, with names of 64
// bytes and more facts than any provider of ours records.
func TestEffect_fitsIntoAKibibyte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		facts := map[string]string{}
		for i := range 30 {
			facts[fmt.Sprintf("fact-%d", i)] = strings.Repeat("v", 40)
		}
		name := func(s string) string { return s + strings.Repeat("x", 64-len(s)) }
		w.fails("do "+name("a"), dag.Result{Class: dag.OK, Facts: map[string]string{"created": "true", "id": strings.Repeat("i", 64)},
			Resources: []dag.Resource{{Facts: facts, Kind: "server", Name: name("a"), Provider: "p"}}})
		e := start(t, db, w)
		<-time.After(time.Millisecond)
		nodes := []dag.Node{servers(name("op"), nil, name("a"), name("b")), services(name("svc"), []string{name("op")}, name("k"))}
		e.ended(e.submit(batch(nodes...)).Run.ID)
		docs := every(t, db, "effect")
		for _, d := range docs {
			if len(d.Body) > dag.MaxEffect {
				t.Errorf("an effect of %d bytes: %s", len(d.Body), d.Body)
			}
		}
		if len(docs) != 4 {
			t.Errorf("%d effects", len(docs))
		}
	})
}

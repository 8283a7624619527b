package crash

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store/surrealstore/surrealtest"
	"github.com/provisioning-platform/platform/shared/watch"
	"github.com/provisioning-platform/platform/tests/rig"
)

// world is one installation with its clients.
type world struct {
	t            *testing.T
	rig          *rig.Rig
	engines      map[string]*surrealtest.KeptServer // by service, where each has a database of its own
	clients      []*writer
	seen         map[string]bool // ids that a comparison has found
	infra        string          // folder of infra definitions
	state, calls string          // files of the simulated provider
}

// newWorld writes the configuration: one simulated provider that keeps its servers in a file.
func newWorld(t *testing.T, o *rig.Options) *world {
	t.Helper()
	w := &world{t: t, seen: map[string]bool{}, infra: filepath.Join(o.Dir, "infra"), state: filepath.Join(o.Dir, "servers.jsonl"),
		calls: filepath.Join(o.Dir, "calls.jsonl")}
	if err := os.MkdirAll(w.infra, 0o700); err != nil {
		t.Fatal(err)
	}
	o.OrchestratorConfig = filepath.Join(o.Dir, "orchestrator.toml")
	text := fmt.Sprintf("[infra]\ndir = \"infra\"\n[providers.cloud]\ndriver = \"simulated\"\nlatency = \"10ms\"\njitter = "+
		"\"40ms\"\nstate = %q\ncalls = %q\n", w.state, w.calls)
	if err := os.WriteFile(o.OrchestratorConfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) orch() *client.Client { return w.rig.Orch(w.rig.Token) }
func (w *world) cc() *client.Client   { return w.rig.CC(w.rig.Token) }

// pages reads a whole list.
func pages[T any](w *world, read func(client.Page) (client.List[T], error)) (all []T) {
	w.t.Helper()
	for p := (client.Page{Limit: 1000}); ; {
		var l client.List[T]
		err := again(w.t.Context(), func() (err error) {
			l, err = read(p)
			return err
		})
		if err != nil {
			w.t.Fatalf("a list cannot be read: %v", err)
		}
		all = append(all, l.Rows...)
		if p.After = l.Next; p.After == "" {
			return all
		}
	}
}

func (w *world) users(ctx context.Context) map[string]client.User {
	byID := map[string]client.User{}
	for _, u := range pages(w, func(p client.Page) (client.List[client.User], error) {
		return w.cc().Users(ctx, client.UserFilter{}, p)
	}) {
		byID[u.ID] = u
	}
	return byID
}

// find returns the user with a name.
func (w *world) find(ctx context.Context, name string) (client.User, error) {
	for p := (client.Page{Limit: 1000}); ; {
		l, err := w.cc().Users(ctx, client.UserFilter{}, p)
		if err != nil {
			return client.User{}, err
		}
		for _, u := range l.Rows {
			if u.Username == name {
				return u, nil
			}
		}
		if p.After = l.Next; p.After == "" {
			return client.User{}, fault.New(fault.Internal, "crash.no_user", "user %s exists and is not listed", name)
		}
	}
}

// all returns the ledgers of all clients as one.
func (w *world) all() ledger {
	sum := newClient(w, 0, 0).ledger
	for _, c := range w.clients {
		l := c.acknowledged()
		maps.Copy(sum.tasks, l.tasks)
		maps.Copy(sum.batches, l.batches)
		maps.Copy(sum.servers, l.servers)
		maps.Copy(sum.users, l.users)
		maps.Copy(sum.dying, l.dying)
		maps.Copy(sum.deleted, l.deleted)
	}
	return sum
}

// compare holds what is there against what was acknowledged before it was asked for: everything
// when full, else what no comparison has seen yet, every deletion, and a few of the rest.
func (w *world) compare(full bool) {
	w.t.Helper()
	before, ctx := w.all(), w.t.Context()
	users, after := w.users(ctx), w.all()
	sample := 50
	due := func(id string) bool {
		if w.seen[id] && !full {
			sample--
			return sample >= 0
		}
		w.seen[id] = true
		return true
	}
	for id := range before.tasks {
		if due(id) {
			if err := again(ctx, func() error { _, err := w.orch().Task(ctx, id); return err }); err != nil {
				w.t.Errorf("task %s was acknowledged and is lost: %v", id, err)
			}
		}
	}
	for id := range before.batches {
		if due(id) {
			if err := again(ctx, func() error { _, err := w.orch().Batch(ctx, id); return err }); err != nil {
				w.t.Errorf("batch %s was acknowledged and is lost: %v", id, err)
			}
		}
	}
	for id, name := range before.users {
		if _, there := users[id]; !there && !after.dying[id] {
			// rows move between pages while users are added
			if err := again(ctx, func() error { _, err := w.cc().User(ctx, id); return err }); err != nil {
				w.t.Errorf("user %s (%s) was acknowledged and is lost: %v", name, id, err)
			}
		}
	}
	for id := range before.deleted {
		if u, there := users[id]; there {
			w.t.Errorf("user %s (%s) was deleted and is back", u.Username, id)
		}
	}
}

// settle waits until nothing runs any more and looks at how everything ended.
func (w *world) settle() {
	w.t.Helper()
	ctx, open, rows := w.t.Context(), 0, []client.Task(nil)
	live := func(t client.Task) bool { return t.Status == "Pending" || t.Status == "Running" }
	for began := time.Now(); ; clock.Pause(ctx, 50*time.Millisecond, nil) {
		open = 0
		for _, status := range []string{"pending", "running"} {
			err := again(ctx, func() error {
				l, err := w.orch().Tasks(ctx, status, client.Page{Limit: 1})
				open += l.Total
				return err
			})
			if err != nil {
				w.t.Fatalf("the %s tasks cannot be counted: %v", status, err)
			}
		}
		if open == 0 { // a submission that was on its way when its client stopped may begin only now
			rows = pages(w, func(p client.Page) (client.List[client.Task], error) { return w.orch().Tasks(ctx, "", p) })
			if !slices.ContainsFunc(rows, live) {
				break
			}
		}
		if time.Since(began) > 60*time.Second {
			l, _ := w.orch().Tasks(ctx, "running", client.Page{Limit: 3})
			w.t.Fatalf("%d tasks have not ended a minute after the load did, for example %+v", open, l.Rows)
		}
	}
	listed := map[string]bool{}
	for _, r := range rows {
		listed[r.ID] = true
		if r.Status != "Completed" {
			text := ""
			if r.Error != nil {
				text = *r.Error
			}
			w.t.Errorf("task %s (%s) is %s: %s", r.Name, r.ID, r.Status, text)
		}
	}
	for id := range w.all().tasks {
		if !listed[id] {
			w.t.Errorf("task %s is there and not listed", id)
		}
	}
	for id, n := range w.all().batches {
		var b client.BatchRun
		err := again(ctx, func() (err error) {
			b, err = w.orch().Batch(ctx, id)
			return err
		})
		if err != nil {
			w.t.Fatalf("batch %s: %v", id, err)
		}
		if b.Status != "Completed" || len(b.Operations) != n {
			w.t.Errorf("batch %s is %s with %d operations, want Completed with %d", id, b.Status, len(b.Operations), n)
		}
	}
}

// events reads the whole stream and checks that it has no gap and tells each task's end once.
func (w *world) events() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	epoch, head := w.place(ctx)
	conn, err := watch.Dial(ctx, w.rig.Orchestrator.Address+"/ws", w.rig.Token.Reveal(), 0, epoch, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ends := map[string]int{}
	for want := uint64(1); want <= head; want++ {
		e, err := conn.Next(ctx)
		if err != nil {
			w.t.Fatalf("event %d of %d: %v", want, head, err)
		}
		if e.Sequence != want || e.Epoch != epoch {
			w.t.Fatalf("event %d of epoch %s came as number %d of epoch %s", want, epoch, e.Sequence, e.Epoch)
		}
		if task, _ := e.Metadata["task_id"].(string); e.Type == "TaskStatusChanged" && e.Metadata["status"] == "completed" {
			ends[task]++
		}
	}
	for task := range w.all().tasks {
		if ends[task] != 1 {
			w.t.Errorf("the end of task %s is told %d times", task, ends[task])
		}
	}
}

// place returns the epoch and the head of the event stream.
func (w *world) place(ctx context.Context) (epoch string, head uint64) {
	w.t.Helper()
	ws, resp, err := websocket.DefaultDialer.DialContext(ctx, "ws"+strings.TrimPrefix(w.rig.Orchestrator.Address, "http")+"/ws",
		http.Header{"Authorization": {"Bearer " + w.rig.Token.Reveal()}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = ws.Close() }()
	head, err = strconv.ParseUint(resp.Header.Get("X-Events-Sequence"), 10, 64)
	if err != nil || head == 0 {
		w.t.Fatalf("the stream does not say where it is: %v %v", resp.Header, err)
	}
	return resp.Header.Get("X-Events-Epoch"), head
}

// verify stops both services and verifies their logs offline.
func (w *world) verify() {
	w.t.Helper()
	if err := w.rig.Close(); err != nil {
		w.t.Error(err)
	}
	for binary, store := range map[string]string{"control-center": w.rig.ControlCenterStore, "orchestrator": w.rig.OrchestratorStore} {
		args := []string{"audit", "verify", "--data", filepath.Join(w.rig.Dir, binary)}
		if store != "" {
			args = append(args, "--store", store)
		}
		out, err := w.rig.Run(w.t.Context(), binary, args...)
		if err != nil {
			w.t.Errorf("%v\n%s", err, out)
		}
		w.t.Logf("%s: %s", binary, strings.Join(strings.Fields(string(out)), " "))
	}
}

func (w *world) counts() string {
	l, unknown := w.all(), int64(0)
	for _, c := range w.clients {
		unknown += c.unknown.Load()
	}
	return fmt.Sprintf("%d answers lost or refused, %d workflows, %d batches, %d servers, %d users made and %d deleted", unknown,
		len(l.tasks), len(l.batches), len(l.servers), len(l.users), len(l.deleted))
}

package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
)

// workflows holds section 3.4.
var workflows = []behaviour{
	{38, "the_documented_bodies_answer_with_a_bare_id_within_a_second", func(t *testing.T, e *env) {
		for kind, body := range documented("hanging") {
			path := "/workflows/" + kind + "/create"
			began := time.Now()
			var id string
			e.want(e.orch("operator", "POST", path, body), 200).into(t, &id)
			if took := time.Since(began); took > time.Second {
				t.Errorf("%s took %s", path, took)
			}
			if len(id) != 36 {
				t.Errorf("%s answered %q", path, id)
			}
			e.want(e.orch("operator", "POST", "/tasks/"+id+"/cancel", nil), 200, 409)
		}
	}},
	{39, "the_id_is_readable_at_once_and_after_kill_9", func(t *testing.T, e *env) {
		f := e.fresh()
		for kind, name := range map[string]string{"servers": "create_servers", "taskserv": "create_taskserv", "cluster": "create_cluster"} {
			for range 20 {
				infra, _ := f.infra(kind, "fast")
				f.want(f.orch("viewer", "GET", "/tasks/"+f.posted(kind, small(infra)[kind]), nil), 200)
			}
			infra, _ := f.ready(kind, "slow")
			id := f.posted(kind, small(infra)[kind])
			if err := f.Orchestrator.Kill(); err != nil { // nothing between the answer and the kill
				t.Fatal(err)
			}
			if err := f.Orchestrator.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if task, err := f.Orch(f.Token).Task(t.Context(), id); err != nil || task.ID != id || task.Name != name {
				t.Errorf("after kill -9 the task %s should still be there: %+v, %v", name, task, err)
			}
		}
	}},
	{40, "wait_decides_when_the_task_is_complete_not_when_the_answer_comes", func(t *testing.T, e *env) {
		const boot = 2 * time.Second // of a server; a task service alone takes as long to install
		f := e.configured(simulated("booting", fmt.Sprintf("boot = %q\n", boot)+
			simulatedFault("booting", "taskserv-*", "run", fmt.Sprintf("command = \"install.sh\"\nlatency = %q", boot))))
		const installing = "upload upload upload run run" // the recipe's three scripts, then install.sh and check.sh
		for kind, want := range map[string]string{"servers": "create", "taskserv": installing, "cluster": "create " + installing} {
			for _, wait := range []bool{false, true} {
				infra, server := f.ready(kind, "booting")
				before := f.callCount(server)
				b := small(infra)[kind]
				b["wait"] = wait
				began := time.Now()
				id := f.posted(kind, b)
				if took := time.Since(began); took > time.Second {
					t.Errorf("%s, wait %v: the answer took %s", kind, wait, took)
				}
				task, calls := f.ended(id), f.callsOf(server)[before:]
				var did []string
				for _, c := range calls {
					did = append(did, c.Action)
				}
				if task.Status != "Completed" || strings.Join(did, " ") != want {
					t.Fatalf("%s, wait %v: the task should be Completed after the calls %q: %+v, calls %+v", kind, wait, want, task, calls)
				}
				accepted := calls[0].Time.Truncate(time.Microsecond) // as exact as the task's times
				// nobody accepts a task service before its scripts have ended, and then it is up
				up := wait || kind == "taskserv"
				if took := task.CompletedAt.Sub(accepted); (took >= boot) != up {
					t.Errorf("%s, wait %v: the task was complete %s after the provider had accepted, the resource is up after %s", kind,
						wait, took, boot)
				}
			}
		}
	}},
	{41, "check_mode_says_what_would_be_done_and_touches_nothing", func(t *testing.T, e *env) {
		infra, server := e.infra("checked", "fast")
		install := "would install containerd 2.1.4 on " + server
		for _, there := range []bool{false, true} { // whether there is a server, which a task service could be put on
			says := map[string]string{"servers": "would create server " + server, "taskserv": install, "cluster": install}
			if there {
				if task := e.submitted("servers", servers(infra)); task.Status != "Completed" {
					t.Fatalf("there is no server to work on: %+v", task)
				}
				says["servers"] = "nothing would be done"
			}
			before := e.callCount(server)
			for kind, want := range says {
				for range 2 { // the second look shows that the first left nothing
					b := small(infra)[kind]
					b["check_mode"] = true
					if task := e.submitted(kind, b); task.Status != "Completed" || task.Output == nil ||
						!strings.Contains(*task.Output, want) {
						t.Errorf("%s, server there %v: %+v, want it Completed and saying %q", kind, there, task, want)
					}
				}
			}
			if calls := e.callsOf(server); len(calls) != before {
				t.Errorf("server there %v: the provider should have seen the %d calls of before and saw %+v", there, before, calls)
			}
		}
	}},
	{42, "equal_submissions_are_two_tasks_unless_the_key_is_the_same", func(t *testing.T, e *env) {
		infra, _ := e.infra("equal", "fast")
		other, _ := e.infra("other", "fast")
		for kind, body := range small(infra) {
			send := func(body any, header string) answer {
				return e.do(request{base: e.Orchestrator.Address, method: "POST", path: "/workflows/" + kind + "/create", role: "operator",
					body: body, header: header})
			}
			if a, b := e.want(send(body, ""), 200), e.want(send(body, ""), 200); string(a.Data) == string(b.Data) {
				t.Errorf("two submissions of a %s workflow share the id %s", kind, a.Data)
			}
			key, before := "Idempotency-Key: "+e.name("B42"), e.count("/tasks")
			first, second := e.want(send(body, key), 200), e.want(send(body, key), 200)
			if string(first.Raw) != string(second.Raw) || second.Header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("%s: with one key %s, then %s, replayed %q", kind, first.Raw, second.Raw,
					second.Header.Get("Idempotency-Replayed"))
			}
			if n := e.count("/tasks") - before; n != 1 {
				t.Errorf("%s: two submissions with one key made %d tasks, want one", kind, n)
			}
			e.want(send(small(other)[kind], key), 422)
		}
	}},
	{43, "names_are_required_and_must_be_plain", func(t *testing.T, e *env) {
		for kind, members := range map[string][]string{"servers": {"infra"}, "taskserv": {"infra", "taskserv"},
			"cluster": {"infra", "cluster_type"}} {
			for _, member := range members {
				for _, bad := range []any{nil, "", 7, "a/b", "..", "../x", "/etc", "absent"} {
					b := documented("production")[kind]
					if b[member] = bad; bad == "absent" {
						delete(b, member)
					}
					if a := e.want(e.orch("operator", "POST", "/workflows/"+kind+"/create", b), 422); !strings.Contains(a.Error, member) {
						t.Errorf("%s with %v as %s: the text should name the member: %s", kind, bad, member, a.Raw)
					}
				}
			}
		}
	}},
	{44, "settings_stay_inside_the_infra_and_have_a_default", func(t *testing.T, e *env) {
		infra, server := e.infra("settled", "fast")
		for _, kind := range []string{"servers", "taskserv", "cluster"} { // the server first, which the others work on
			for _, bad := range []string{"../config.k", "a/config.k", "/etc/passwd", "..", "a\\b"} {
				b := documented("production")[kind]
				b["settings"] = bad
				if a := e.want(e.orch("operator", "POST", "/workflows/"+kind+"/create", b), 422); !strings.Contains(a.Error, "settings") {
					t.Errorf("%s with settings %q: the text should name the member: %s", kind, bad, a.Raw)
				}
			}
			b := small(infra)[kind]
			delete(b, "settings")
			if task := e.submitted(kind, b); task.Status != "Completed" {
				t.Errorf("%s without settings should be Completed: %+v", kind, task)
			}
		}
		if len(e.changes("fast", server)) != 1 || !slices.Contains(e.scripts(server), "install.sh") {
			t.Errorf("without settings the server should have been made and installed: %+v", e.callsOf(server))
		}
	}},
	{45, "flags_are_booleans", func(t *testing.T, e *env) {
		for _, kind := range []string{"servers", "taskserv", "cluster"} {
			for member, bad := range map[string]any{"check_mode": "true", "wait": 1} {
				b := documented("production")[kind]
				b[member] = bad
				if a := e.want(e.orch("operator", "POST", "/workflows/"+kind+"/create", b), 422); !strings.Contains(a.Error, member) {
					t.Errorf("%s with %v as %s: the text should name the member: %s", kind, bad, member, a.Raw)
				}
			}
		}
	}},
	{46, "unknown_things_make_the_task_fail_by_name", func(t *testing.T, e *env) {
		for path, body := range map[string]map[string]any{
			"/workflows/servers/create":  servers("no-such-infra"),
			"/workflows/taskserv/create": {"taskserv": "no-such-taskserv", "infra": "fast"},
			"/workflows/cluster/create":  {"cluster_type": "no-such-cluster", "infra": "fast"},
		} {
			a := e.want(e.orch("operator", "POST", path, body), 200, 422)
			text := a.Error
			if a.Status == 200 {
				var id string
				a.into(t, &id)
				task := e.ended(id)
				if task.Status != "Failed" || task.Error == nil {
					t.Errorf("%s: the task should have Failed with a reason: %+v", path, task)
					continue
				}
				text = *task.Error
			}
			if !strings.Contains(text, "no-such-") {
				t.Errorf("%s: the text names nothing: %s", path, text)
			}
		}
	}},
	{47, "the_operation_decides_and_defaults_to_create", func(t *testing.T, e *env) {
		for kind, named := range map[string][2]string{"taskserv": {"taskserv", "containerd"}, "cluster": {"cluster_type", "small"}} {
			infra, server := e.infra(kind, "fast")
			if task := e.submitted("servers", servers(infra)); task.Status != "Completed" {
				t.Fatalf("there is no server to work on: %+v", task)
			}
			body := map[string]any{"infra": infra, named[0]: named[1]}
			for _, step := range []struct {
				operation          any // nil: not named
				verb, status, runs string
			}{
				{nil, "create", "Completed", "install.sh check.sh"},
				{"check", "check", "Completed", "check.sh"},
				{"update", "update", "Completed", "install.sh check.sh"},
				{"delete", "delete", "Completed", "uninstall.sh"},
				{"check", "check", "Failed", ""},
				{"create", "create", "Completed", "install.sh check.sh"},
			} {
				if body["operation"] = step.operation; step.operation == nil {
					delete(body, "operation")
				}
				before := len(e.scripts(server))
				if task := e.submitted(kind, body); task.Status != step.status || task.Name != step.verb+"_"+kind {
					t.Errorf("operation %v should be a %s_%s that is %s: %+v", step.operation, step.verb, kind, step.status, task)
				}
				if ran := strings.Join(e.scripts(server)[before:], " "); ran != step.runs {
					t.Errorf("operation %v of a %s ran %q on the server, want %q", step.operation, kind, ran, step.runs)
				}
			}
			for _, bad := range []string{"destroy", ""} {
				body["operation"] = bad
				e.want(e.orch("operator", "POST", "/workflows/"+kind+"/create", body), 422)
			}
		}
	}},
	{48, "shell_characters_are_taken_literally", func(t *testing.T, e *env) {
		trap := e.name("trap")
		for n, payload := range []string{"$(touch TRAP)", "`touch TRAP`", "x; touch TRAP", "x && touch TRAP", "x | tee TRAP",
			"'; touch TRAP; '", "\"; touch TRAP; \"", "-x", "*", "x\ntouch TRAP"} {
			text := strings.ReplaceAll(payload, "TRAP", filepath.Join(e.Dir, trap))
			name := e.name(fmt.Sprint("shell-", n))
			// A name with such characters is refused wherever it stands (decision 38) ...
			for kind, members := range map[string][]string{"servers": {"infra", "settings"}, "taskserv": {"taskserv"},
				"cluster": {"cluster_type"}} {
				for _, member := range members {
					body := map[string]any{"infra": "production"}
					body[member] = text
					e.want(e.orch("operator", "POST", "/workflows/"+kind+"/create", body), 422)
				}
			}
			batch := func(called string, server serverRecord) map[string]any {
				return e.batch(called, map[string]any{"id": "a", "type": "server_batch", "provider": "fast",
					"server_configs": []any{server}})
			}
			e.want(e.orch("operator", "POST", "/batch/execute", batch(name, serverRecord{Name: text})), 422)
			if strings.Contains(text, "\n") { // ... and so is a text of several lines.
				e.want(e.orch("operator", "POST", "/batch/execute", batch(text, serverRecord{name, text, text})), 422)
				continue
			}
			e.writeNamed(name, text)
			root := "" // of the local server
			for _, w := range []struct{ kind, member string }{{"servers", ""}, {"taskserv", "taskserv"}, {"cluster", "cluster_type"}} {
				body, args := map[string]any{"infra": name, "settings": name + ".toml"}, []string{"--infra", name, "--settings", name +
					".toml"}
				if w.member != "" {
					body[w.member], args = name, append([]string{name}, args...)
				}
				task := e.submitted(w.kind, body)
				if task.Status != "Completed" || !slices.Equal(task.Args, args) {
					t.Fatalf("%s of %q should be Completed with the arguments %q: %+v", w.kind, name, args, task)
				}
				if w.kind == "servers" {
					root = e.root(task)
					continue
				}
				called, err := os.ReadFile(filepath.Join(root, "called"))
				if want := fmt.Sprintf("<var/lib/provisioning/recipes/%s/install.sh><%s><%s><%s><%s>", name, name, name, name,
					text); err != nil || string(called) != want {
					t.Errorf("%s of %q called %q, want %q (%v)", w.kind, name, called, want, err)
				}
				if err := os.Remove(filepath.Join(root, "called")); err != nil {
					t.Fatal(err)
				}
			}
			if made := records[serverRecord](e, filepath.Join(root, "..", "server.json")); len(made) != 1 ||
				made[0] != (serverRecord{name, text, text}) {
				t.Errorf("the server of infra %q was made as %+v", name, made)
			}
			other := serverRecord{name + "-2", text, text}
			e.batchEnded(e.execute(batch(text, other)))
			if made := e.changes("fast", other.Name); len(made) != 1 || made[0].Server != other {
				t.Errorf("the server of batch %q was made as %+v", text, made)
			}
			if exists(filepath.Join(root, trap)) {
				t.Errorf("%q was run by a shell on the server", text)
			}
		}
		for _, dir := range []string{e.Dir, ".", "/"} {
			if exists(filepath.Join(dir, trap)) {
				t.Errorf("a payload was run by a shell in %s", dir)
			}
		}
	}},
	{49, "the_servers_task_is_named_and_shows_its_arguments", func(t *testing.T, e *env) {
		for _, wait := range []bool{true, false} {
			b := servers("fast")
			b["wait"] = wait
			var id string
			e.want(e.orch("operator", "POST", "/workflows/servers/create", b), 200).into(t, &id)
			task := e.ended(id)
			args := strings.Join(task.Args, " ")
			if task.Name != "create_servers" || !strings.Contains(args, "--infra fast") || strings.Contains(args, "--wait") != wait {
				t.Errorf("%s %s", task.Name, args)
			}
		}
	}},
	{50, "a_provider_error_is_the_tasks_error_after_retries", func(t *testing.T, e *env) {
		// max_attempts of the suite's configuration, and one for what does not go away
		tries := map[string]int{"transient": 3, "permanent": 1}
		settings := ""
		for class := range tries { // each is a provider
			settings += simulated(class, "")
			for kind, action := range map[string]string{"servers": "create", "taskserv": "upload", "cluster": "create"} {
				settings += simulatedFault(class, kind+"-*", action,
					fmt.Sprintf("class = %q\nmessage = \"simulated: the provider says %s\"", class, class))
			}
		}
		f := e.configured(settings)
		for class, tries := range tries {
			for _, kind := range []string{"servers", "taskserv", "cluster"} {
				infra, server := f.ready(kind, class)
				want := "simulated: the provider says " + class
				if kind == "cluster" { // has several parts: which of them failed comes first
					want = server + ": " + want
				}
				before := f.callCount(server)
				task := f.submitted(kind, small(infra)[kind])
				// that only look whether the last try took effect
				calls := slices.DeleteFunc(f.callsOf(server)[before:], func(c providerCall) bool {
					return c.Action == "run" && c.script() != "install.sh"
				})
				if task.Status != "Failed" || task.Error == nil || *task.Error != want {
					t.Errorf("%s: the task should have Failed with %q: %+v", kind, want, task)
				}
				if len(calls) != tries {
					t.Errorf("%s: the provider saw %d tries, want %d: %+v", kind, len(calls), tries, calls)
				}
			}
		}
	}},
	{51, "fifty_submissions_at_once_all_end", func(t *testing.T, e *env) {
		const most, latency = 4, 200 * time.Millisecond
		slow := fmt.Sprintf("latency = %q", latency) // of one call of each task
		f := e.configured(fmt.Sprintf("[limits]\ntasks = %d\n", most) + simulated("crowded", "") +
			simulatedFault("crowded", "servers-*", "create", slow) +
			simulatedFault("crowded", "", "run", "command = \"install.sh\"\n"+slow))
		for _, role := range []string{"operator", "developer"} {
			f.createUser(role+"-1", role)
			f.tokens[role] = f.login(role+"-1", password)
		}
		var mu sync.Mutex
		ids := map[string]bool{}
		var names []string
		var submit []func()
		var all sync.WaitGroup
		for i := range 50 {
			kind := []string{"servers", "taskserv", "cluster"}[i/3%3]
			infra, server := f.ready(kind, "crowded")
			names = append(names, server)
			submit = append(submit, func() {
				role := []string{"operator", "developer", "admin"}[i%3]
				w := map[string]client.Workflow{"servers": {}, "taskserv": {Taskserv: "containerd"},
					"cluster": {ClusterType: "small"}}[kind]
				w.Infra = infra
				id, err := f.Orch(f.tokens[role]).SubmitWorkflow(t.Context(), kind, w, "")
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				ids[id] = true
			})
		}
		for _, f := range submit { // when every infra is ready
			all.Go(f)
		}
		all.Wait()
		if len(ids) != 50 {
			t.Fatalf("%d ids, want 50", len(ids))
		}
		for id := range ids {
			if task := f.ended(id); task.Status != "Completed" {
				t.Errorf("the task should be Completed: %+v", task)
			}
		}
		// Calls that are answered within the latency of one were all at work when the first of them
		// was answered.
		calls := slices.DeleteFunc(f.callsOf(names...), func(c providerCall) bool { // that are not slow
			return c.script() != "install.sh" && (c.Action != "create" || !strings.HasPrefix(c.Name, "servers-"))
		})
		slices.SortFunc(calls, func(a, b providerCall) int { return a.Time.Compare(b.Time) })
		if len(calls) != 50 {
			t.Fatalf("the provider saw %d slow calls, want 50", len(calls))
		}
		together := 0
		for i := range calls {
			n := 0
			for n < len(calls)-i && calls[i+n].Time.Sub(calls[i].Time) < latency {
				n++
			}
			together = max(together, n)
		}
		if together != most {
			t.Errorf("%d tasks were at work at once, want the %d that are configured and no more", together, most)
		}
	}},
	{52, "a_viewer_is_refused_and_that_is_recorded", func(t *testing.T, e *env) {
		before, refused := e.count("/tasks"), map[string]string{} // by request id: the kind
		for kind, body := range documented("fast") {
			refused[e.want(e.orch("viewer", "POST", "/workflows/"+kind+"/create", body), 403).Header.Get("X-Request-Id")] = kind
		}
		e.allRecorded()
		if n := e.count("/tasks") - before; n != 0 {
			t.Errorf("%d tasks appeared", n)
		}
		found := map[string]int{} // by kind
		for _, r := range e.audit("action=workflow.create&user_id=" + e.userID("viewer")) {
			var details struct {
				Request string `json:"request_id"`
			}
			if err := json.Unmarshal(r.Details, &details); err != nil {
				t.Fatal(err)
			}
			kind, mine := refused[details.Request]
			if !mine {
				continue
			}
			found[kind]++
			if r.Result != "denied" || r.Origin != "orchestrator" || r.Action != "workflow.create" {
				t.Errorf("a denied workflow.create of the orchestrator is expected: %+v", r)
			}
		}
		if want := map[string]int{"servers": 1, "taskserv": 1, "cluster": 1}; !maps.Equal(found, want) {
			t.Errorf("the log has %v refusals, want %v", found, want)
		}
	}},
}

// infra writes an infra of its own with one server at the provider and a cluster "small" of
// containerd on it. Its name and the server's start with the stem.
func (e *env) infra(stem, provider string) (name, server string) {
	e.t.Helper()
	name = e.name(stem)
	writeInfra(e.t, e.Dir, name, provider)
	e.appendTo(filepath.Join(e.Dir, "infra", name, "config.toml"), "[[clusters]]\ntype = \"small\"\ntaskservs = [\"containerd\"]\n")
	return name, name + "-server"
}

// ready is infra for a workflow of a kind, which is the stem: for a task service the server is
// there.
func (e *env) ready(kind, provider string) (name, server string) {
	e.t.Helper()
	name, server = e.infra(kind, provider)
	if kind == "taskserv" {
		if task := e.submitted("servers", map[string]any{"infra": name}); task.Status != "Completed" {
			e.t.Fatalf("there is no server to work on: %+v", task)
		}
	}
	return name, server
}

// posted submits a workflow of kind "servers", "taskserv" or "cluster" and returns its task's id.
func (e *env) posted(kind string, body map[string]any) (id string) {
	e.t.Helper()
	e.want(e.orch("operator", "POST", "/workflows/"+kind+"/create", body), 200).into(e.t, &id)
	return id
}

// submitted is posted, and returns the task when that has ended.
func (e *env) submitted(kind string, body map[string]any) client.Task {
	e.t.Helper()
	return e.ended(e.posted(kind, body))
}

// writeNamed writes an infra in which a server of a local provider, a task service and a cluster
// have the infra's name, and the server's plan and zone are the text. Installing the task service
// leaves on the server, in the file "called", with what it was called.
func (e *env) writeNamed(name, text string) {
	e.t.Helper()
	for file, content := range map[string]string{
		name + ".toml": fmt.Sprintf("[[servers]]\nname = %q\nplan = %q\nzone = %q\nprovider = \"upcloud\"\n[[clusters]]\ntype = "+
			"%q\ntaskservs = [%q]\n", name, text, text, name, name),
		filepath.Join("recipes", name, "recipe.toml"): fmt.Sprintf("name = %q\nversion = %q\n", name, text),
		filepath.Join("recipes", name, "install.sh"):  `printf '<%s>' "$0" "$@" "$PROVISIONING_INFRA" "$PROVISIONING_TASKSERV" "$PROVISIONING_SERVER" "$PROVISIONING_TASKSERV_VERSION" >called`,
	} {
		file = filepath.Join(e.Dir, "infra", name, file)
		err := os.MkdirAll(filepath.Dir(file), 0o700)
		if err == nil {
			err = os.WriteFile(file, []byte(content), 0o600)
		}
		if err != nil {
			e.t.Fatal(err)
		}
	}
}

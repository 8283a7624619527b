package conformance

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/webhook"
)

// hookSecret signs what the receivers of this suite get.
const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// delivered is a request at a receiver.
type delivered struct {
	Event     string         `json:"event"`
	Timestamp time.Time      `json:"timestamp"`
	Data      map[string]any `json:"data"`
	Signature string         `json:"signature"`
	header    http.Header
	body      []byte
	at        time.Time
}

// about says whether the event is about a task or batch.
func (d delivered) about(id string) bool { return d.Data["task_id"] == id || d.Data["batch_id"] == id }

// receiver is an HTTP server that keeps what it gets and answers with what answer says.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []delivered // under mu
}

// receive starts a receiver; answer may be nil for 200.
func (e *env) receive(answer func(w http.ResponseWriter, r *http.Request, d delivered)) *receiver {
	e.t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		d := delivered{header: q.Header, at: time.Now()}
		d.body, _ = io.ReadAll(q.Body)
		if err := json.Unmarshal(d.body, &d); err != nil || q.Method != http.MethodPost ||
			q.Header.Get("Content-Type") != "application/json" {
			e.t.Errorf("%s %v: %v: %s", q.Method, q.Header, err, d.body)
		}
		r.mu.Lock()
		r.got = append(r.got, d)
		r.mu.Unlock()
		if answer != nil {
			answer(w, q, d)
		}
	}))
	e.t.Cleanup(r.Close)
	return r
}

// about returns what came about a task or batch, or everything for "".
func (r *receiver) about(id string) []delivered {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []delivered
	for _, d := range r.got {
		if id == "" || d.about(id) {
			out = append(out, d)
		}
	}
	return out
}

// hook makes a webhook and returns its id; it is gone at the end of the test.
func (e *env) hook(url string, events ...string) string {
	e.t.Helper()
	api := e.Orch(e.tokens["operator"])
	made, err := api.CreateWebhook(e.t.Context(), client.WebhookInput{URL: &url, Events: events, Secret: secret.New(hookSecret)}, "")
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		if err := api.DeleteWebhook(context.Background(), made.ID); err != nil { // the test's context has ended
			e.t.Error(err)
		}
	})
	return made.ID
}

// arrived waits until n requests about a task or batch have come and returns them.
func (e *env) arrived(r *receiver, id string, n int) []delivered {
	e.t.Helper()
	e.await(20*time.Second, fmt.Sprintf("%d deliveries about %s", n, id), func() bool { return len(r.about(id)) >= n })
	return r.about(id)
}

// delivery waits until the newest delivery of a webhook has a status and returns it.
func (e *env) delivery(hook, status string) client.Delivery {
	e.t.Helper()
	var d client.Delivery
	e.await(20*time.Second, "the delivery is "+status, func() bool {
		l, err := e.Orch(e.tokens["operator"]).Deliveries(e.t.Context(), hook, "", client.Page{Limit: 1})
		if err != nil {
			e.t.Fatal(err)
		}
		if len(l.Rows) > 0 {
			d = l.Rows[0]
		}
		return d.Status == status
	})
	return d
}

// names returns the events in the order they came.
func names(list []delivered) []string {
	var out []string
	for _, d := range list {
		out = append(out, d.Event)
	}
	return out
}

// verifiers check the rule of I20 and the headers in other languages, with nothing but their
// standard libraries.
var verifiers = map[string]string{
	"python3": `
import base64, hashlib, hmac, json, sys
q = json.load(sys.stdin)
body, secret = base64.b64decode(q["body"]), q["secret"].encode()
tail = len(',"signature":"sha256=' + 64 * "0" + '"}')
payload = body[:-tail] + b"}"
digest = lambda b: "sha256=" + hmac.new(secret, b, hashlib.sha256).hexdigest()
assert hmac.compare_digest(json.loads(body)["signature"], digest(payload))
assert hmac.compare_digest(q["x"], digest(body))
key = base64.b64decode(q["secret"][len("whsec_"):])
signed = (q["id"] + "." + q["timestamp"] + ".").encode() + body
assert q["signature"] == "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
assert json.loads(body)["data"]["name"] == q["name"]
`,
	"node": `
const { createHmac } = require("node:crypto"), assert = require("node:assert");
const q = JSON.parse(require("node:fs").readFileSync(0, "utf8")), body = Buffer.from(q.body, "base64");
const tail = (',"signature":"sha256=' + "0".repeat(64) + '"}').length;
const payload = Buffer.concat([body.subarray(0, body.length - tail), Buffer.from("}")]);
const digest = (b) => "sha256=" + createHmac("sha256", q.secret).update(b).digest("hex");
assert.equal(JSON.parse(body).signature, digest(payload));
assert.equal(q.x, digest(body));
const key = Buffer.from(q.secret.slice("whsec_".length), "base64");
const signed = Buffer.concat([Buffer.from(q.id + "." + q.timestamp + "."), body]);
assert.equal(q.signature, "v1," + createHmac("sha256", key).update(signed).digest("base64"));
assert.equal(JSON.parse(body).data.name, q.name);
`,
}

// webhooks holds section 3.14.
var webhooks = []behaviour{
	{170, "the_named_events_reach_who_asked_for_them_and_only_those", func(t *testing.T, e *env) {
		all, some := e.receive(nil), e.receive(nil)
		e.hook(all.URL, "task.completed", "task.failed", "batch.completed")
		e.hook(some.URL, "batch.completed")
		good, bad := e.submit("fast"), e.submit("broken")
		batch := e.execute(e.batch(e.name("hooked"), op("a", "fast")))
		e.batchEnded(batch)
		d := e.arrived(all, good, 1)[0]
		if d.Event != "task.completed" || d.Data["status"] != "completed" || d.Data["output"] == nil || d.Timestamp.IsZero() ||
			d.Signature == "" {
			t.Errorf("%s", d.body)
		}
		if d = e.arrived(all, bad, 1)[0]; d.Event != "task.failed" || d.Data["status"] != "failed" || d.Data["error"] == nil {
			t.Errorf("%s", d.body)
		}
		e.arrived(all, batch, 2) // its task, and itself
		d = e.arrived(some, batch, 1)[0]
		var members map[string]json.RawMessage
		if err := json.Unmarshal(d.body, &members); err != nil || len(members) != 4 || d.Data["total"] != 1.0 || !strings.HasPrefix(string(d.body), `{"event":"batch.completed","timestamp":"`) {
			t.Errorf("%s", d.body)
		}
		for _, one := range some.about("") {
			if one.Event != "batch.completed" {
				t.Errorf("not asked for: %s", one.body)
			}
		}
		for _, one := range all.about("") {
			if !slices.Contains([]string{"task.completed", "task.failed", "batch.completed"}, one.Event) {
				t.Errorf("not asked for: %s", one.body)
			}
		}
	}},
	{171, "the_signatures_verify_in_python_node_and_go", func(t *testing.T, e *env) {
		r := e.receive(nil)
		e.hook(r.URL, "batch.completed")
		name := e.name("größer ‰ 日本")
		batch := e.execute(e.batch(name, op("a", "fast")))
		d := e.arrived(r, batch, 1)[0]
		if err := webhook.Verify([]string{hookSecret}, d.header, d.body, time.Now()); err != nil {
			t.Error(err)
		}
		if err := webhook.VerifyBody([]string{hookSecret}, d.body); err != nil {
			t.Error(err)
		}
		in, err := json.Marshal(map[string]string{
			"body": base64.StdEncoding.EncodeToString(d.body), "secret": hookSecret, "x": d.header.Get(webhook.HeaderBody), "name": name,
			"id": d.header.Get(webhook.HeaderID), "timestamp": d.header.Get(webhook.HeaderTimestamp),
			"signature": d.header.Get(webhook.HeaderSignature),
		})
		if err != nil {
			t.Fatal(err)
		}
		for program, script := range verifiers {
			flag := map[string]string{"python3": "-c", "node": "-e"}[program]
			cmd := exec.CommandContext(t.Context(), program, flag, script)
			cmd.Stdin = strings.NewReader(string(in))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", program, err, out)
			}
		}
	}},
	{172, "what_fails_is_repeated_with_growing_delay_under_its_id_and_given_up", func(t *testing.T, e *env) {
		r := e.receive(func(w http.ResponseWriter, _ *http.Request, _ delivered) { w.WriteHeader(500) })
		hook := e.hook(r.URL, "task.completed")
		away := e.receive(nil)
		away.Close()
		gone := e.hook(away.URL, "task.completed")
		id := e.submit("fast")
		if task := e.ended(id); task.Status != "Completed" {
			t.Errorf("%+v", task)
		}
		got := e.arrived(r, id, 4)
		for i := 1; i < len(got); i++ {
			if got[i].header.Get(webhook.HeaderDelivery) != got[0].header.Get(webhook.HeaderDelivery) ||
				got[0].header.Get(webhook.HeaderDelivery) == "" {
				t.Errorf("attempt %d has another id", i+1)
			}
			// 200, 400 and 800 ms, each 20 % shorter or longer
			if pause, least := got[i].at.Sub(got[i-1].at), 160*time.Millisecond<<(i-1); pause < least {
				t.Errorf("attempt %d came after %s", i+1, pause)
			}
		}
		for _, h := range []string{hook, gone} {
			if d := e.delivery(h, "dead"); len(d.Attempts) != 4 || d.Cause == "" {
				t.Errorf("%+v", d)
			}
		}
		e.await(10*time.Second, "both are paused", func() bool {
			a, _ := e.Orch(e.tokens["operator"]).Webhook(t.Context(), hook)
			b, _ := e.Orch(e.tokens["operator"]).Webhook(t.Context(), gone)
			return a.Status == "paused" && b.Status == "paused" && a.Reason != ""
		})
		if n := len(r.about(id)); n != 4 {
			t.Errorf("%d attempts", n)
		}
	}},
	{173, "what_is_refused_for_good_is_not_repeated", func(t *testing.T, e *env) {
		status := http.StatusNotFound
		r := e.receive(func(w http.ResponseWriter, _ *http.Request, _ delivered) { w.WriteHeader(status) })
		hook := e.hook(r.URL, "task.completed")
		id := e.submit("fast")
		if d := e.delivery(hook, "dead"); len(d.Attempts) != 1 || d.Attempts[0].Status != 404 {
			t.Errorf("%+v", d)
		}
		if n := len(r.about(id)); n != 1 {
			t.Errorf("404: %d attempts", n)
		}
		status = http.StatusGone
		id = e.submit("fast")
		e.arrived(r, id, 1)
		e.await(10*time.Second, "410 pauses it", func() bool {
			h, err := e.Orch(e.tokens["operator"]).Webhook(t.Context(), hook)
			return err == nil && h.Status == "paused" && strings.Contains(h.Reason, "410")
		})
		status = http.StatusOK
		e.want(e.orch("operator", "POST", "/webhooks/"+hook+"/resume", nil), 200)
		dead := e.delivery(hook, "dead")
		e.want(e.orch("operator", "POST", "/webhooks/"+hook+"/deliveries/"+dead.ID+"/redeliver", nil), 202)
		if again := e.arrived(r, id, 2)[1]; again.header.Get(webhook.HeaderID) != dead.ID {
			t.Errorf("redelivered as %s, was %s", again.header.Get(webhook.HeaderID), dead.ID)
		}
		first := e.delivery(hook, "delivered").Sequence
		a := e.want(e.orch("operator", "POST", "/webhooks/"+hook+"/redeliver", map[string]any{"from": first, "to": first}), 202)
		if !strings.Contains(string(a.Data), `"queued":1`) {
			t.Errorf("%s", a.Data)
		}
		e.arrived(r, id, 3)
	}},
	{174, "redirects_are_not_followed", func(t *testing.T, e *env) {
		target := e.receive(nil)
		r := e.receive(func(w http.ResponseWriter, q *http.Request, _ delivered) {
			http.Redirect(w, q, target.URL, http.StatusTemporaryRedirect)
		})
		hook := e.hook(r.URL, "task.completed")
		e.submit("fast")
		if d := e.delivery(hook, "dead"); d.Attempts[0].Status != http.StatusTemporaryRedirect {
			t.Errorf("%+v", d)
		}
		if got := target.about(""); len(got) != 0 {
			t.Errorf("the redirect was followed: %s", got[0].body)
		}
	}},
	{175, "a_slow_receiver_times_out", func(t *testing.T, e *env) {
		r := e.receive(func(_ http.ResponseWriter, q *http.Request, _ delivered) {
			select {
			case <-q.Context().Done():
			case <-time.After(30 * time.Second):
			}
		})
		hook := e.hook(r.URL, "task.completed")
		e.submit("fast")
		var d client.Delivery
		e.await(20*time.Second, "an attempt timed out", func() bool {
			l, err := e.Orch(e.tokens["operator"]).Deliveries(t.Context(), hook, "", client.Page{Limit: 1})
			if err == nil && len(l.Rows) > 0 {
				d = l.Rows[0]
			}
			return len(d.Attempts) > 0
		})
		if a := d.Attempts[0]; a.Status != 0 || a.Error == "" || a.DurationMS < 900 || a.DurationMS > 5000 {
			t.Errorf("%+v", a)
		}
	}},
	{176, "what_is_undelivered_survives_a_restart", func(t *testing.T, e *env) {
		f := e.configured("")
		var mu sync.Mutex
		down := true
		r := f.receive(func(w http.ResponseWriter, _ *http.Request, _ delivered) {
			mu.Lock()
			defer mu.Unlock()
			if down {
				w.Header().Set("Retry-After", "3")
				w.WriteHeader(503)
			}
		})
		f.hook(r.URL, "task.completed")
		id := f.submit("fast")
		before := f.arrived(r, id, 1)[0]
		if err := f.Orchestrator.Kill(); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		down = false
		mu.Unlock()
		if err := f.Orchestrator.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := f.arrived(r, id, 2)[1]
		if before.header.Get(webhook.HeaderID) != after.header.Get(webhook.HeaderID) {
			t.Error("it came under another id")
		}
	}},
	{177, "switched_off_there_is_none", func(t *testing.T, e *env) {
		r := e.receive(nil)
		f := e.configured(fmt.Sprintf("[[webhooks.endpoints]]\nurl = %q\nevents = [\"task.completed\"]\nsecret = %q\n", r.URL, hookSecret))
		id := f.submit("fast")
		if d := f.arrived(r, id, 1)[0]; webhook.VerifyBody([]string{hookSecret}, d.body) != nil {
			t.Errorf("%s", d.body)
		}
		f.restartOrchestrator("ORCHESTRATOR_WEBHOOKS_ENABLED=false")
		id = f.submit("fast")
		f.ended(id)
		a := f.want(f.orch("operator", "POST", "/webhooks", map[string]any{"url": r.URL, "events": []string{"task.completed"}}), 409)
		if a.Code != "webhook.disabled" {
			t.Errorf("%s", a.Raw)
		}
		if got := r.about(id); len(got) != 0 {
			t.Errorf("%v came", names(got))
		}
	}},
	{178, "a_wrong_configuration_is_refused_with_its_line", func(t *testing.T, e *env) {
		for what, c := range map[string]struct{ text, says string }{
			"bad URL": {"[[webhooks.endpoints]]\nurl = \"ftp://example.com\"\nevents = [\"task.failed\"]\nsecret = \"x\"\n",
				"url must be"},
			"empty secret": {"[[webhooks.endpoints]]\nurl = \"https://example.com\"\nevents = [\"task.failed\"]\nsecret = \"\"\n",
				"secret must have"},
			"unknown event": {"[[webhooks.endpoints]]\nurl = \"https://example.com\"\nevents = [\"task.fail\"]\nsecret = \"x\"\n",
				"task.completed, task.failed"},
			"the seed's text": {"[webhooks]\nenabled = true\nendpoints = [\n  {\n    url = \"https://your-system.com/webhook\"\n    " +
				"events = [\"task.completed\"]\n    secret = \"webhook-secret\"\n  }\n]\n", "[[webhooks.endpoints]]"},
		} {
			file := t.TempDir() + "/orchestrator.toml"
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := e.Run(t.Context(), "orchestrator", "serve", "--config", file)
			if err == nil {
				t.Errorf("%s: the service starts: %s", what, out)
				continue
			}
			if text := err.Error() + string(out); !strings.Contains(text, c.says) || !strings.Contains(text, "orchestrator.toml:") {
				t.Errorf("%s: %s", what, text)
			}
		}
	}},
	{179, "a_stopped_receiver_does_not_delay_another", func(t *testing.T, e *env) {
		free := make(chan struct{})
		stopped := e.receive(func(_ http.ResponseWriter, q *http.Request, _ delivered) {
			select {
			case <-free:
			case <-q.Context().Done():
			}
		})
		defer close(free)
		good := e.receive(nil)
		e.hook(stopped.URL, "task.completed")
		e.hook(good.URL, "task.completed")
		began := time.Now()
		var ids []string
		for range 3 {
			ids = append(ids, e.submit("fast"))
		}
		for _, id := range ids {
			e.arrived(good, id, 1)
		}
		// Three attempts at the stopped one would take three time-outs of 1 s.
		if took := time.Since(began); took > 2500*time.Millisecond && len(stopped.about("")) > 2 {
			t.Errorf("took %s", took)
		}
	}},
}

// restartOrchestrator stops the orchestrator and starts it with a further variable.
func (e *env) restartOrchestrator(variable string) {
	e.t.Helper()
	if _, err := e.Orchestrator.Stop(); err != nil {
		e.t.Fatal(err)
	}
	e.Orchestrator.Env = append(e.Orchestrator.Env, variable)
	if err := e.Orchestrator.Start(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
}

package e2e

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// spans are what a collector was sent.
type spans struct {
	mu    sync.Mutex
	byID  map[string]*otlp.Span
	from  map[string]string // service by span id
	raw   bytes.Buffer
	wrong []string
}

// ServeHTTP takes OTLP over HTTP.
func (s *spans) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw.Write(body)
	var got collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &got); err != nil || q.Method != "POST" || q.URL.Path != "/v1/traces" ||
		q.Header.Get("X-Api-Key") != "canary-of-the-collector" || q.Header.Get("Content-Type") != "application/x-protobuf" {
		s.wrong = append(s.wrong, fmt.Sprintf("%s %s %v: %v", q.Method, q.URL.Path, q.Header, err))
	}
	for _, r := range got.ResourceSpans {
		service := ""
		for _, a := range r.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, scope := range r.ScopeSpans {
			for _, span := range scope.Spans {
				id := hex.EncodeToString(span.SpanId)
				if s.byID[id] != nil {
					s.wrong = append(s.wrong, "the span "+span.Name+" came twice")
				}
				s.byID[id], s.from[id] = span, service
			}
		}
	}
	_, _ = w.Write(nil)
}

// named returns the spans of a name.
func (s *spans) named(name string) (all []*otlp.Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range s.byID {
		if span.Name == name {
			all = append(all, span)
		}
	}
	return all
}

// parent returns the name of the span above one: what came in as traceparent is "client".
func (s *spans) parent(span *otlp.Span, client string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := hex.EncodeToString(span.ParentSpanId)
	if id == client {
		return "client"
	}
	if p := s.byID[id]; p != nil {
		return p.Name
	}
	return "nobody"
}

// TestTraces_aRunIsOneTraceAlsoWhenItsOrchestratorIsKilled sends a batch with a traceparent, kills
// the orchestrator in the middle, and reads what a collector and a webhook receiver got.
func TestTraces_aRunIsOneTraceAlsoWhenItsOrchestratorIsKilled(t *testing.T) {
	t.Parallel()
	const trace, client = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	got := &spans{byID: map[string]*otlp.Span{}, from: map[string]string{}}
	sink := httptest.NewServer(got)
	t.Cleanup(sink.Close)
	hooked := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		hooked <- q.Header.Get("Webhook-Id") + " " + q.Header.Get("Traceparent")
	}))
	t.Cleanup(receiver.Close)

	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()}
	o.OrchestratorConfig = filepath.Join(o.Dir, "orchestrator.toml")
	write(t, filepath.Join(o.Dir, "headers"), "X-Api-Key: canary-of-the-collector\n")
	write(t, o.OrchestratorConfig, fmt.Sprintf(`
[providers.cloud]
driver = "simulated"
state = %q
[[providers.cloud.faults]]
match = "slow"
latency = "2s"
[traces]
endpoint = %q
headers_file = "headers"
sample = 0
[webhooks]
allow = ["127.0.0.0/8"]
[[webhooks.endpoints]]
url = %q
events = ["batch.completed"]
secret = "canary-of-the-webhook"
`, filepath.Join(o.Dir, "servers.jsonl"), sink.URL, receiver.URL))
	o.Env = []string{"CONTROL_CENTER_TRACES_ENDPOINT=" + sink.URL, "CONTROL_CENTER_TRACES_HEADERS_FILE=" + filepath.Join(o.Dir, "headers")}
	if err := os.Chmod(filepath.Join(o.Dir, "headers"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := rigtest.Start(t, o)

	operation := func(id, server string, after ...string) map[string]any {
		return map[string]any{"id": id, "type": "server_batch", "provider": "cloud", "dependencies": append([]string{}, after...),
			"server_configs": []any{map[string]any{"name": server}}}
	}
	batch := map[string]any{"name": "traced", "operations": []any{operation("first", "fast"), operation("second", "slow", "first")}}
	answer := rigtest.Send(t, "POST", r.Orchestrator.Address+"/batch/execute", r.Token.Reveal(), batch,
		"Traceparent: 00-"+trace+"-"+client+"-01")
	var accepted struct {
		Data struct {
			BatchID string `json:"batch_id"`
		}
	}
	if err := json.Unmarshal(answer.Raw, &accepted); err != nil || accepted.Data.BatchID == "" {
		t.Fatalf("%d %s", answer.Status, answer.Raw)
	}
	rigtest.Await(t, 20*time.Second, "the spans of the request and of the first task came",
		func() bool { return len(got.named("POST /batch/execute")) == 1 && len(got.named("server.create")) == 1 })
	if err := r.Orchestrator.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	if err := r.Orchestrator.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	rigtest.Await(t, 30*time.Second, "the span of the run came", func() bool { return len(got.named("batch")) == 1 })
	hook := <-hooked
	rigtest.Await(t, 20*time.Second, "the span of the webhook came", func() bool { return len(got.named("webhook batch.completed")) == 1 })

	below := map[string]string{"POST /batch/execute": "client", "batch": "POST /batch/execute", "webhook batch.completed": "batch"}
	tasks := 0
	got.mu.Lock()
	all := make([]*otlp.Span, 0, len(got.byID))
	for id, span := range got.byID {
		if got.from[id] == "orchestrator" {
			all = append(all, span)
		}
	}
	got.mu.Unlock()
	for _, span := range all {
		if id := hex.EncodeToString(span.TraceId); id != trace {
			t.Errorf("%s is in the trace %s: with sample = 0 only callers begin traces", span.Name, id)
		}
		parent := got.parent(span, client)
		want, fixed := below[span.Name]
		switch {
		case fixed && parent != want:
			t.Errorf("%s is below %s, want %s", span.Name, parent, want)
		case !fixed && parent == "batch":
			tasks++
		case !fixed && got.parent(byID(got, span.ParentSpanId), client) != "batch":
			t.Errorf("%s is below %s, which is no task of the batch", span.Name, parent)
		}
	}
	run, at := got.named("batch")[0], uint64(killed.UnixNano())
	if tasks != 2 || run.StartTimeUnixNano >= at || run.EndTimeUnixNano <= at {
		t.Errorf("%d tasks; the run lasts from %d to %d, the orchestrator was killed at %d", tasks, run.StartTimeUnixNano,
			run.EndTimeUnixNano, at)
	}
	if span := got.named("webhook batch.completed")[0]; !strings.HasSuffix(hook,
		" 00-"+trace+"-"+hex.EncodeToString(span.SpanId)+"-01") {
		t.Errorf("the receiver got %q", hook)
	}
	rigtest.Send(t, "GET", r.ControlCenter.Address+"/users", r.Token.Reveal(), nil)
	rigtest.Await(t, 20*time.Second, "the control-center sends spans too", func() bool { return len(got.named("GET /users")) == 1 })

	got.mu.Lock()
	defer got.mu.Unlock()
	if len(got.wrong) > 0 {
		t.Error(strings.Join(got.wrong, "\n"))
	}
	for what, secret := range map[string]string{
		"token": r.Token.Reveal(), "password": r.Admin.Password, "webhook secret": "canary-of-the-webhook",
		"header": "canary-of-the-collector", "receiver": receiver.URL,
	} {
		if bytes.Contains(got.raw.Bytes(), []byte(secret)) {
			t.Errorf("a span holds the %s", what)
		}
	}
}

func byID(s *spans, id []byte) *otlp.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	if span := s.byID[hex.EncodeToString(id)]; span != nil {
		return span
	}
	return &otlp.Span{}
}

package trace

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/obs"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestParse_takesWhatW3CSaysAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		traceparent:             traceparent,
		traceparent[:53] + "00": traceparent[:53] + "00",
		traceparent[:53] + "ff": traceparent, // only the lowest flag is ours
		"cc" + traceparent[2:]:  traceparent, // a later version
		"cc" + traceparent[2:] + "-what the future will be like": traceparent,
		traceparent + "-x":           "",
		"ff" + traceparent[2:]:       "",
		"cc" + traceparent[2:] + "x": "",
		strings.ToUpper(traceparent): "",
		traceparent[:54]:             "",
		"":                           "",
		"00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01": "",
		traceparent[:36] + strings.Repeat("0", 16) + "-01":       "",
		strings.Replace(traceparent, "a", "g", 1):                "",
		strings.Replace(traceparent, "-01", "\n01", 1):           "",
	} {
		if got := Parse(text).String(); got != want {
			t.Errorf("%q is read as %q, want %q", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(traceparent)
	f.Fuzz(func(t *testing.T, text string) {
		if p := Parse(text); !p.None() && Parse(p.String()) != p {
			t.Errorf("%q is read as %q, which is read otherwise", text, p)
		}
	})
}

// TestChild_isTheSameInEveryProcess: the spans of a run are found by its header alone.
func TestChild_isTheSameInEveryProcess(t *testing.T) {
	t.Parallel()
	p := Parse(traceparent)
	if a := p.Child("a").String(); a != "00-0af7651916cd43dd8448eb211c80319c-bba20871ab7508ec-01" {
		t.Errorf("the child a is %s", a)
	}
	if p.Child("a") == p.Child("b") || p.Child("a").Child("b") == p.Child("ab") || p.Child("a") == p {
		t.Error("two pieces of work have one place")
	}
	if !(SpanContext{}).Child("a").None() {
		t.Error("nowhere has a child")
	}
}

// TestEnter_sampleIsTheShareOfTheTracesThatBeginHere: who already decided is followed.
func TestEnter_sampleIsTheShareOfTheTracesThatBeginHere(t *testing.T) {
	t.Parallel()
	for sample, want := range map[float64][2]int{0: {0, 0}, 0.25: {150, 350}, 1: {1000, 1000}} {
		tr := &Tracer{sample: sample}
		n := 0
		for range 1000 {
			if own, parent := tr.Enter("no traceparent"); own.sampled {
				n++
			} else if own.None() || !parent.None() {
				t.Fatal(own, parent)
			}
		}
		if n < want[0] || n > want[1] {
			t.Errorf("of 1000 traces %d are recorded with sample = %v", n, sample)
		}
		own, parent := tr.Enter(traceparent)
		if !own.sampled || parent.String() != traceparent || own.trace != parent.trace || own.span == parent.span {
			t.Errorf("with sample = %v %s continues as %s below %s", sample, traceparent, own, parent)
		}
		if own, _ := tr.Enter(traceparent[:53] + "00"); own.sampled {
			t.Errorf("with sample = %v a trace is recorded whose caller does not", sample)
		}
	}
}

// TestTracer_offDoesNothing: all callers may use a nil Tracer.
func TestTracer_offDoesNothing(t *testing.T) {
	tr, err := Open(t.Context(), Default(), "x", obs.Discard())
	if tr != nil || err != nil {
		t.Fatal(tr, err)
	}
	if own, parent := tr.Enter(traceparent); !own.None() || !parent.None() {
		t.Error("a place without a tracer")
	}
	r := obs.NewRegistry()
	tr.Meter(r, "x")
	tr.Record(EndedSpan{Own: Parse(traceparent)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tr.Run(ctx); err != nil {
		t.Error(err)
	}
	if allocs := testing.AllocsPerRun(100, func() { tr.Enter(traceparent); tr.Record(EndedSpan{}) }); allocs != 0 {
		t.Errorf("what is off allocates %v times", allocs)
	}
}

// TestTracer_theHeadersGoToTheCollectorAlone: whoever it sends the spans to gets nothing.
func TestTracer_theHeadersGoToTheCollectorAlone(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		t.Errorf("the spans went on to %s with %v", q.URL, q.Header)
	}))
	t.Cleanup(elsewhere.Close)
	asked := make(chan struct{}, 100)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		asked <- struct{}{}
		http.Redirect(w, q, elsewhere.URL, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(collector.Close)
	tr, err := Open(t.Context(), Collector{Endpoint: collector.URL, Sample: 1}, "x", obs.Discard())
	if err != nil {
		t.Fatal(err)
	}
	own, _ := tr.Enter("")
	tr.Record(EndedSpan{Own: own, Name: "work", Begin: time.Now(), End: time.Now()})
	if tr.provider.ForceFlush(t.Context()) == nil {
		t.Error("the collector took the spans")
	}
	<-asked
	_ = tr.provider.Shutdown(t.Context())
}

// TestTracer_aCollectorThatRefusesIsToldOnce: the log has one line, the metric every span, and no
// header.
func TestTracer_aCollectorThatRefusesIsToldOnce(t *testing.T) {
	t.Parallel()
	asked := make(chan http.Header, 100)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		asked <- q.Header
		http.Redirect(w, q, "http://127.0.0.1:1/elsewhere", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(collector.Close)
	file := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(file, []byte("# of the collector\nX-Api-Key: canary-key\n\nAuthorization: Bearer canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	tr, err := Open(t.Context(), Collector{Endpoint: collector.URL, HeadersFile: config.Path(file), Sample: 1}, "x",
		obs.NewLogger(&text, "x", slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	r := obs.NewRegistry()
	tr.Meter(r, "x")
	for range 3 {
		own, parent := tr.Enter("")
		tr.Record(EndedSpan{Own: own, Parent: parent, Name: "work", Begin: time.Now(), End: time.Now()})
		_ = tr.provider.ForceFlush(t.Context())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tr.Run(ctx); err != nil {
		t.Error(err)
	}
	if h := <-asked; h.Get("X-Api-Key") != "canary-key" || h.Get("Authorization") != "Bearer canary" {
		t.Errorf("the headers of the file were not sent: %v", h)
	}
	if n := strings.Count(text.String(), "\n"); n != 1 || strings.Contains(text.String(), "canary") {
		t.Errorf("%d lines:\n%s", n, text.String())
	}
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), "\n"+`x_trace_spans_total{result="failed"} 3`+"\n") {
		t.Error(w.Body.String())
	}
}

func TestCollector_refuseWhatWouldTellSecretsOrNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) config.Path {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return config.Path(path)
	}
	good := file("good", "Authorization: Bearer canary", 0o600)
	for _, c := range []struct {
		s    Collector
		want string // part of the text; "" when there is none
	}{
		{Default(), ""},
		{Collector{Endpoint: "https://collector:4318", HeadersFile: good, Sample: 0.5}, ""},
		{Collector{Endpoint: "http://localhost:4318", HeadersFile: good}, ""},
		{Collector{Endpoint: "http://collector:4318"}, ""},
		{Collector{Endpoint: "http://collector:4318", HeadersFile: good}, "must begin with https://"},
		{Collector{Endpoint: "collector:4318"}, "traces.endpoint is no address"},
		{Collector{Endpoint: "https://user:canary@collector"}, "must hold no user"},
		{Collector{Endpoint: "https://collector/?key=canary"}, "must hold no user, password or query"},
		{Collector{HeadersFile: good}, "needs traces.endpoint"},
		{Collector{Sample: 1.5}, "traces.sample must be 0 to 1"},
		{Collector{Endpoint: "https://c", HeadersFile: file("open", "A: canary", 0o644)}, "chmod 600"},
		{Collector{Endpoint: "https://c", HeadersFile: file("bad", "A: b\ncanary", 0o600)}, "line 2 of"},
		{Collector{Endpoint: "https://c", HeadersFile: file("worse", "A b: canary", 0o600)}, "line 1 of"},
		{Collector{Endpoint: "https://c", HeadersFile: "/nowhere"}, "no such file"},
	} {
		var problems config.Problems
		c.s.Check(&problems)
		err := problems.Err()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.s, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("the text shows a secret: %v", err)
		}
	}
	for endpoint, want := range map[string]string{
		"https://c:4318": "https://c:4318/v1/traces", "https://c:4318/": "https://c:4318/v1/traces",
		"https://c/otlp/v1/traces": "https://c/otlp/v1/traces",
	} {
		if got := (Collector{Endpoint: endpoint}).url(); got != want {
			t.Errorf("spans for %s go to %s", endpoint, got)
		}
	}
}

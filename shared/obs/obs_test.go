package obs

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestLogger_oneParseableLineARecordWhateverIsInIt(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log := NewLogger(&b, "orchestrator", slog.LevelInfo)
	ctx := With(With(t.Context(), slog.String("request_id", "r1")), slog.String("op", "x"))
	zone := time.FixedZone("away", 7200)
	log.With("a", 1).InfoContext(ctx, "line\nbreak \x1b[31m {\"x\":", "field", "a\r\nb", "Password", "hunter2", "token", "hunter2",
		"when", time.Date(2025, 9, 26, 12, 0, 0, 0, zone))
	log.DebugContext(ctx, "not shown")
	if n := strings.Count(b.String(), "\n"); n != 1 {
		t.Fatalf("%d lines: %s", n, b.String())
	}
	var v map[string]any
	if err := json.Unmarshal(b.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"service": "orchestrator", "request_id": "r1", "op": "x", "field": "a\r\nb", "Password": "[secret]", "token": "[secret]",
		"when": "2025-09-26T10:00:00.000000Z", "a": 1.0, "level": "INFO",
	} {
		if v[key] != want {
			t.Errorf("%s is %v, want %v", key, v[key], want)
		}
	}
	if at, _ := v["time"].(string); !strings.HasSuffix(at, "Z") {
		t.Errorf("time %v is not UTC", v["time"])
	}
}

func TestWith_doesNotShareItsSlice(t *testing.T) {
	t.Parallel()
	base := With(t.Context(), slog.String("a", "1"))
	_ = With(base, slog.String("b", "2"))
	other := With(base, slog.String("c", "3"))
	var b bytes.Buffer
	NewLogger(&b, "s", slog.LevelInfo).InfoContext(other, "x")
	if strings.Contains(b.String(), `"b"`) || !strings.Contains(b.String(), `"c":"3"`) {
		t.Error(b.String())
	}
}

func TestRegistry_showsWhatWasCounted(t *testing.T) {
	t.Parallel()
	r := NewRegistry()
	tasks := r.Counter("orchestrator_tasks_total", "Total number of tasks", "status")
	tasks.Inc("completed")
	tasks.Add(4, "completed")
	tasks.At("failed")()
	r.Gauge("depth", "d", "q").Set(2, "a")
	r.GaugeFunc("lag", "l", func() float64 { return 1.5 })
	h := r.Histogram("orchestrator_task_duration_seconds", "Task duration", []float64{10, 30})
	h.Observe(5)
	h.At()(50)
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		"# HELP orchestrator_tasks_total Total number of tasks", "# TYPE orchestrator_tasks_total counter", `orchestrator_tasks_total{status="completed"} 5`,
		`orchestrator_tasks_total{status="failed"} 1`, `depth{q="a"} 2`, "lag 1.5", `orchestrator_task_duration_seconds_bucket{le="10"} 1`,
		`orchestrator_task_duration_seconds_bucket{le="+Inf"} 2`, "orchestrator_task_duration_seconds_sum 55", "orchestrator_task_duration_seconds_count 2", "go_goroutines",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("lacks %s", want)
		}
	}
}

func TestRegistry_nilTakesEverything(t *testing.T) {
	t.Parallel()
	var r *Registry
	r.Counter("a", "a").Inc()
	r.Counter("a", "a").At()()
	r.Gauge("a", "a").Add(1)
	r.Gauge("a", "a").Set(1)
	r.GaugeFunc("a", "a", nil)
	r.Histogram("a", "a", nil).Observe(1)
	r.Histogram("a", "a", nil).At()(1)
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 404 {
		t.Errorf("status %d", w.Code)
	}
}

package event_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/shared/canonical"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// types returns all types.
func types() []event.Type {
	var all []event.Type
	for _, name := range event.Types() {
		all = append(all, event.Type(name))
	}
	return all
}

// full returns an event of type t with every member set.
func full(t event.Type) event.Event {
	return event.Event{
		Type: t, Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Status: "completed", TaskID: "t1", BatchID: "b1", Infra: "i1",
		Name: "a \"name\"", Operation: "op", Error: "<none>", Output: "line\nline", Rollback: "r1", Checkpoint: "c1", Webhook: "w1",
		Delivery: "d1", Reasons: []string{"store.full"}, Step: "step", Progress: 1250, Done: 1, Failed: 2, Total: 3,
	}
}

func bytesOf(e event.Event) string {
	w := new(canonical.Writer)
	e.Write(w)
	return string(w.Body().Bytes())
}

// TestWrite_golden holds the bytes of each type, with every member set and with as few as possible:
// clients are written against them, and package watch sends them as they are.
func TestWrite_golden(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, kind := range types() {
		lines = append(lines, kind.Category()+" "+bytesOf(full(kind)))
	}
	lines = append(lines, bytesOf(event.Event{Type: event.WorkflowProgress, TaskID: "t1"}),
		bytesOf(event.Event{Type: event.RightsWithdrawn}))
	got, name := strings.Join(lines, "\n")+"\n", filepath.Join("testdata", "bytes.golden")
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the bytes of events changed; review and run with -update:\n%s", got)
	}
}

// TestWrite_metadataRepeatsData holds contract I16: all of metadata stands in data too, as texts.
func TestWrite_metadataRepeatsData(t *testing.T) {
	t.Parallel()
	for _, kind := range types() {
		var e struct {
			Data     map[string]any    `json:"data"`
			Metadata map[string]string `json:"metadata"`
		}
		if err := json.Unmarshal([]byte(bytesOf(full(kind))), &e); err != nil {
			t.Fatal(err)
		}
		if len(e.Metadata) != 6 {
			t.Errorf("%s: metadata is %v", kind, e.Metadata)
		}
		for name, value := range e.Metadata {
			if e.Data[name] != value {
				t.Errorf("%s: metadata %s is %q, data %v", kind, name, value, e.Data[name])
			}
		}
	}
}

func TestLabelsOf_isWhatWasWritten(t *testing.T) {
	t.Parallel()
	for _, kind := range append(types(), "Unknown") {
		for _, e := range []event.Event{full(kind), {Type: kind}, {Type: kind, TaskID: "a\"\\\n,:{}", Output: `"event_type":"no`}} {
			want := event.Labels{Category: kind.Category(), Type: string(kind), TaskID: e.TaskID, BatchID: e.BatchID, Infra: e.Infra}
			if got := event.LabelsOf([]byte(bytesOf(e))); got != want {
				t.Errorf("%s has the labels %+v, want %+v", bytesOf(e), got, want)
			}
		}
	}
	if c := event.Type("Unknown").Category(); c != event.System {
		t.Errorf("an unknown type is of %s", c)
	}
}

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/watch"
)

// screen is what a terminal shows after it was sent out.
func screen(out string) []string {
	lines, row := []string{""}, 0
	for out != "" {
		if m := cursorUp.FindStringSubmatch(out); m != nil {
			n, _ := strconv.Atoi(m[1])
			row -= n
			out = out[len(m[0]):]
			continue
		}
		switch {
		case strings.HasPrefix(out, "\x1b[K"):
			out = out[3:]
			continue
		case out[0] == '\n':
			if row++; row == len(lines) {
				lines = append(lines, "")
			}
		case out[0] != '\r': // a text, which begins at the left and is followed by an erased rest
			text, _, _ := strings.Cut(out, "\x1b[K")
			lines[row], out = text, out[len(text):]
			continue
		}
		out = out[1:]
	}
	return lines
}

var cursorUp = regexp.MustCompile(`^\x1b\[(\d+)A`)

func received(kind string, data map[string]any) watch.Event {
	data["batch_id"] = "b"
	raw, _ := json.Marshal(data)
	return watch.Event{Type: kind, Data: raw}
}

func TestDisplay_drawsOneBlockOverItself(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	d := newDisplay(&cli.IO{Err: &out, Getenv: func(string) string { return "" }}, client.BatchRun{BatchID: "b", Status: "Running",
		Operations: []client.Operation{{ID: "one", Status: "Pending"}, {ID: "two", Status: "Pending"}}})
	out.Reset()
	d.width = 80
	d.draw()
	for _, e := range []watch.Event{
		received("OperationStatusChanged", map[string]any{"operation_id": "one", "status": "running"}),
		received("WorkflowProgress", map[string]any{"operation_id": "one", "progress": 50,
			"current_step": strings.Repeat("a long step ", 9)}),
		received("OperationStatusChanged", map[string]any{"operation_id": "one", "status": "completed", "progress": 100}),
		received("OperationStatusChanged", map[string]any{"operation_id": "two", "status": "failed", "error": "no quota"}),
		received("BatchStatusChanged", map[string]any{"status": "failed"}),
	} {
		d.event(e)
		for i, line := range screen(out.String()) {
			if n := len([]rune(line)); n > d.width {
				t.Errorf("line %d is %d columns wide: %s", i, n, line)
			}
		}
	}
	got := screen(out.String())
	want := []string{`^batch b  failed  1/2 operations`, `^  one +completed  █{20} 100%`, `^  two +failed +░{20}   0%  no quota$`, `^$`}
	if len(got) != len(want) {
		t.Fatalf("the screen has %d lines:\n%s", len(got), strings.Join(got, "\n"))
	}
	for i, line := range got {
		if !regexp.MustCompile(want[i]).MatchString(line) {
			t.Errorf("line %d is %q", i, line)
		}
	}
	if !d.ended() {
		t.Error("the batch has not ended")
	}
}

func TestDisplay_writesALineAChangeWithoutATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	d := newDisplay(&cli.IO{Err: &out, Getenv: func(string) string { return "" }},
		client.BatchRun{BatchID: "b", Status: "Running", Operations: []client.Operation{{ID: "one", Status: "Pending"}}})
	for range 2 { // the same news twice is one line
		d.event(received("OperationStatusChanged", map[string]any{"operation_id": "one", "status": "running"}))
	}
	d.event(received("OperationStatusChanged", map[string]any{"operation_id": "one", "status": "failed", "error": "no quota"}))
	want := fmt.Sprintf("batch b: 1 operations\n  %-24s running\n  %-24s failed no quota\n", "one", "one")
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/watch"
)

// display shows a batch while it runs: on a terminal a block of lines that is drawn over itself,
// elsewhere one line a change. State is always a word, never a colour alone.
type display struct {
	o      *cli.IO
	id     string
	name   string
	status string
	began  time.Time
	rows   []*row
	byID   map[string]*row
	width  int      // of the terminal; 0 when there is none
	drawn  []string // lines on the screen
}

// row is one operation.
type row struct {
	id, status, step string
	progress         float64
	began            time.Time
}

// maxRows is how many operations a terminal block shows; the rest is counted.
const maxRows = 12

func newDisplay(o *cli.IO, b client.BatchRun) *display {
	d := &display{o: o, id: b.BatchID, name: b.Name, status: strings.ToLower(b.Status), began: time.Now(), byID: map[string]*row{}}
	if width, ok := o.Terminal(); ok {
		d.width = width
	}
	for _, op := range b.Operations {
		r := &row{id: op.ID, status: strings.ToLower(op.Status), progress: op.Progress}
		d.rows, d.byID[op.ID] = append(d.rows, r), r
	}
	d.line("batch %s: %d operations", b.BatchID, len(d.rows))
	d.draw()
	return d
}

func (d *display) ended() bool {
	return d.status != "running" && d.status != "pending"
}

// event takes one event of the stream; those of other batches are passed over.
func (d *display) event(e watch.Event) {
	var data struct {
		BatchID     string  `json:"batch_id"`
		OperationID string  `json:"operation_id"`
		Status      string  `json:"status"`
		Step        string  `json:"current_step"`
		Progress    float64 `json:"progress"`
		Error       string  `json:"error"`
	}
	if json.Unmarshal(e.Data, &data) != nil || data.BatchID != d.id {
		return
	}
	r := d.byID[data.OperationID]
	switch {
	case e.Type == string(event.BatchStatusChanged):
		d.status = data.Status
		if d.ended() {
			d.line("batch %s %s%s", d.id, d.status, because(data.Error))
		}
	case r == nil:
	case e.Type == string(event.WorkflowProgress):
		r.progress, r.step = data.Progress, data.Step
		d.line("  %-24s %3.0f%%  %s", r.id, r.progress, r.step)
	case e.Type == string(event.OperationStatusChanged) && data.Status != r.status:
		if data.Status == "running" {
			r.began = e.Timestamp
		}
		r.status, r.progress, r.step = data.Status, max(r.progress, data.Progress), ""
		if data.Status != "running" && !r.began.IsZero() {
			r.step = fmt.Sprintf("after %.1f s", e.Timestamp.Sub(r.began).Seconds())
		}
		r.step = strings.TrimPrefix(r.step+because(data.Error), ": ")
		d.line("  %-24s %s %s", r.id, r.status, r.step)
	}
	d.draw()
}

func because(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// line writes one line where there is no terminal.
func (d *display) line(format string, args ...any) {
	if d.width == 0 {
		d.o.Note("%s", strings.TrimRight(fmt.Sprintf(format, args...), " "))
	}
}

// draw writes the block over the one before, in one write and only the lines that changed: nothing
// flickers.
func (d *display) draw() {
	if d.width == 0 {
		return
	}
	var out strings.Builder
	lines := d.block()
	if len(d.drawn) > 0 {
		fmt.Fprintf(&out, "\x1b[%dA", len(d.drawn))
	}
	for i, l := range lines {
		lines[i] = cut(cli.Printable(l), d.width)
		if i >= len(d.drawn) || d.drawn[i] != lines[i] {
			out.WriteString("\r" + lines[i] + "\x1b[K")
		}
		out.WriteString("\r\n")
	}
	d.drawn = lines
	fmt.Fprint(d.o.Err, out.String())
}

func (d *display) block() []string {
	done := 0
	for _, r := range d.rows {
		if r.status == "completed" {
			done++
		}
	}
	lines := []string{fmt.Sprintf("batch %s  %s  %d/%d operations  %.1f s", d.id, d.status, done, len(d.rows),
		time.Since(d.began).Seconds())}
	shown := d.rows
	if len(shown) > maxRows { // what moves is what a person looks for
		shown = nil
		for _, r := range d.rows {
			if r.status == "running" && len(shown) < maxRows {
				shown = append(shown, r)
			}
		}
	}
	for _, r := range shown {
		lines = append(lines, fmt.Sprintf("  %-24s %-10s %s %3.0f%%  %s", r.id, r.status, bar(r.progress), r.progress, r.step))
	}
	for len(lines) < len(d.drawn) { // keep the block's height
		lines = append(lines, "")
	}
	return lines
}

// bar draws a percentage with 20 places.
func bar(percent float64) string {
	full := int(percent / 5)
	return strings.Repeat("█", full) + strings.Repeat("░", 20-full)
}

// cut shortens a line to the terminal's width.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// close ends the block; the final table follows on standard output.
func (d *display) close() {
	if d.width > 0 {
		fmt.Fprintln(d.o.Err)
	}
}

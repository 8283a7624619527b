package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"

	"github.com/provisioning-platform/platform/shared/config"
)

// Table says how data looks for a person: facts about the whole, then a heading and a row a thing.
// A column without a value in any row is left out.
type Table struct {
	Facts [][2]string // name and value; one without a value is left out
	Head  []string
	Rows  [][]string
}

// Print writes data in the format that was asked for. data is what json and yaml show; jsonl writes
// one line an element of a list; table writes t. Column values never hold a line break, so that a
// row is a line.
func (o *IO) Print(data any, t Table) error {
	switch o.Format {
	case "json":
		return o.json(data, "  ")
	case "jsonl":
		return o.lines(data)
	case "yaml":
		return o.yaml(data)
	}
	return o.table(t)
}

func (o *IO) table(t Table) error {
	w := tabwriter.NewWriter(o.Out, 0, 8, 2, ' ', 0)
	line := func(cells []string) {
		clean := make([]string, len(cells))
		for i, cell := range cells {
			clean[i] = Printable(strings.Join(strings.Fields(cell), " "))
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(clean, "\t"), "\t"))
	}
	for _, fact := range t.Facts {
		if fact[1] != "" {
			line(fact[:])
		}
	}
	if len(t.Facts) > 0 && len(t.Head)+len(t.Rows) > 0 {
		fmt.Fprintln(w)
	}
	t.dropEmptyColumns()
	if len(t.Head) > 0 {
		line(t.Head)
	}
	for _, row := range t.Rows {
		line(row)
	}
	return w.Flush()
}

// dropEmptyColumns leaves out each headed column that no row has a value in.
func (t *Table) dropEmptyColumns() {
	if len(t.Head) == 0 || len(t.Rows) == 0 {
		return
	}
	used := make([]bool, len(t.Head))
	for _, row := range t.Rows {
		for i, cell := range row {
			used[i] = used[i] || strings.TrimSpace(cell) != ""
		}
	}
	keep := func(cells []string) (kept []string) {
		for i, cell := range cells {
			if used[i] {
				kept = append(kept, cell)
			}
		}
		return kept
	}
	t.Head = keep(t.Head)
	for i, row := range t.Rows {
		t.Rows[i] = keep(row)
	}
}

// Result is what a verb prints that changes something and has nothing else to show.
type Result struct {
	ID     string `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
	Result string `json:"result"` // "cancelled", "updated", "unchanged" …
}

// Done writes the result of a verb: as data in the formats for programs, as a note for a person.
func (o *IO) Done(r Result, format string, args ...any) error {
	if o.Format == "table" {
		o.Note(format, args...)
		return nil
	}
	return o.Print(r, Table{})
}

func (o *IO) lines(data any) error {
	v := reflect.ValueOf(data)
	if v.Kind() != reflect.Slice {
		return o.json(data, "")
	}
	for i := range v.Len() {
		if err := o.json(v.Index(i).Interface(), ""); err != nil {
			return err
		}
	}
	return nil
}

// json writes one value. Characters that encoding/json leaves as they are although a terminal acts
// on them (C1 controls, marks of direction) are escaped; the value stays the same.
func (o *IO) json(data any, indent string) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(data); err != nil {
		return err
	}
	_, err := io.WriteString(o.Out, Printable(buf.String()))
	return err
}

// Printable returns text with every character that has no shape (controls, marks of direction,
// broken UTF-8) as \uXXXX, so that a name cannot move the cursor, hide text or look like another
// one on a terminal. Line feeds stay. Inside a JSON string the escape means the character itself.
func Printable(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}

// yaml goes through JSON so that both formats have the same member names in the same order.
func (o *IO) yaml(data any) error {
	doc, err := json.Marshal(data)
	if err != nil {
		return err
	}
	text, err := config.EncodeYAML(doc)
	if err != nil {
		return err
	}
	_, err = o.Out.Write(text)
	return err
}

// Note writes one line for the person to Err.
func (o *IO) Note(format string, args ...any) {
	fmt.Fprintln(o.Err, Printable(fmt.Sprintf(format, args...)))
}

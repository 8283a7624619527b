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

// Table says how data looks for a person: a heading and a row a thing.
type Table struct {
	Head []string
	Rows [][]string
}

// Print writes data in the format that was asked for. data is what json and yaml show; jsonl writes one line an
// element of a list; table writes t. Column values never hold a line break, so that a row is a line.
func (o *IO) Print(data any, t Table) error {
	switch o.Format {
	case "json":
		return o.json(data, "  ")
	case "jsonl":
		return o.lines(data)
	case "yaml":
		return o.yaml(data)
	}
	w := tabwriter.NewWriter(o.Out, 0, 8, 2, ' ', 0)
	if len(t.Head) > 0 {
		fmt.Fprintln(w, strings.Join(t.Head, "\t"))
	}
	for _, row := range t.Rows {
		clean := make([]string, len(row))
		for i, cell := range row {
			clean[i] = Printable(strings.Join(strings.Fields(cell), " "))
		}
		fmt.Fprintln(w, strings.Join(clean, "\t"))
	}
	return w.Flush()
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

// json writes one value. Characters that encoding/json leaves as they are although a terminal acts on them
// (C1 controls, marks of direction) are escaped; the value stays the same.
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

// Printable returns text with every character that has no shape (controls, marks of direction, broken
// UTF-8) as \uXXXX, so that a name cannot move the cursor, hide text or look like another one on a
// terminal. Line feeds stay. Inside a JSON string the escape means the character itself.
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

package cli

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"text/tabwriter"

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
		enc := json.NewEncoder(o.Out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(data)
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
			clean[i] = strings.Join(strings.Fields(cell), " ")
		}
		fmt.Fprintln(w, strings.Join(clean, "\t"))
	}
	return w.Flush()
}

func (o *IO) lines(data any) error {
	enc := json.NewEncoder(o.Out)
	enc.SetEscapeHTML(false)
	if v := reflect.ValueOf(data); v.Kind() == reflect.Slice {
		for i := range v.Len() {
			if err := enc.Encode(v.Index(i).Interface()); err != nil {
				return err
			}
		}
		return nil
	}
	return enc.Encode(data)
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
func (o *IO) Note(format string, args ...any) { fmt.Fprintf(o.Err, format+"\n", args...) }

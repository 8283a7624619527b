package canonical

import (
	"math"
	"strings"
	"testing"
	"time"
)

// TestWriter_whatItVouchesForIsCanonical uses it rightly and wrongly: a body that vouches for its
// text must hold canonical JSON, and every body that keeps the rules vouches for its text.
func TestWriter_whatItVouchesForIsCanonical(t *testing.T) {
	t.Parallel()
	when := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for name, c := range map[string]struct {
		make func(*Writer)
		want string // empty: not vouched for
	}{
		"all kinds of members": {func(e *Writer) {
			e.Begin()
			e.Always("a", "")
			e.Text("b", "")
			e.Text("c", "quote\" ä \x00 \xff")
			e.Number("d", -7)
			e.Count("e", 0)
			e.Flag("f", false)
			e.Flag("g", true)
			e.Float("h", 33.33)
			e.Float("i", 100)
			e.Time("j", when)
			e.Moment("k", nil)
			e.List("l", []string{"x", "y\n"})
			e.Some("m", nil)
			e.Dict("n", map[string]string{"b": "1", "a": "2"})
			e.JSON("o", []byte(`{"x":[1]}`))
			e.Array("p")
			for range 2 {
				e.Begin()
				e.Number("z", 1)
				e.Object("zz")
				e.End()
				e.End()
			}
			e.EndArray()
			e.End()
		}, `{"a":"","c":"quote\" ä \u0000 ` + "\uFFFD" + `","d":-7,"g":true,"h":33.33,"i":100,"j":"2026-01-02T03:04:05.000006Z","l":["x","y\n"],"n":{"a":"2","b":"1"},"o":{"x":[1]},"p":[{"z":1,"zz":{}},{"z":1,"zz":{}}]}`},
		"empty": {func(e *Writer) { e.Begin(); e.End() }, `{}`},
		"after another": {func(e *Writer) {
			e.Begin()
			e.Text("b", "x")
			e.Text("a", "x")
			e.End()
			e.Begin()
			e.End()
		}, `{}`},
		"taken back": {func(e *Writer) {
			e.Begin()
			e.Array("a")
			m := e.Mark()
			e.Begin()
			e.End()
			e.Back(m)
			e.EndArray()
			e.End()
		}, `{"a":[]}`},
		"wrong order": {func(e *Writer) { e.Begin(); e.Text("b", "x"); e.Text("a", "x"); e.End() }, ""},
		"twice":       {func(e *Writer) { e.Begin(); e.Text("a", "x"); e.Text("a", "x"); e.End() }, ""},
		"wrong order below": {func(e *Writer) {
			e.Begin()
			e.Object("a")
			e.Text("c", "x")
			e.Text("b", "x")
			e.End()
			e.End()
		}, ""},
		"not ended":           {func(e *Writer) { e.Begin(); e.Text("a", "x") }, ""},
		"ended twice":         {func(e *Writer) { e.Begin(); e.End(); e.End() }, ""},
		"ended as an array":   {func(e *Writer) { e.Begin(); e.EndArray() }, ""},
		"array ended wrongly": {func(e *Writer) { e.Begin(); e.Array("a"); e.End(); e.End() }, ""},
		"member of an array":  {func(e *Writer) { e.Begin(); e.Array("a"); e.Text("b", "x"); e.EndArray(); e.End() }, ""},
		"value in an object":  {func(e *Writer) { e.Begin(); e.Begin(); e.End(); e.End() }, ""},
		"dict with an escape": {func(e *Writer) { e.Begin(); e.Dict("a", map[string]string{"\xff": "", "\xfe": ""}); e.End() }, ""},
		"no number":           {func(e *Writer) { e.Begin(); e.Float("a", math.NaN()); e.End() }, ""},
		"large number":        {func(e *Writer) { e.Begin(); e.Float("a", 1e20); e.End() }, ""},
		"not canonical JSON":  {func(e *Writer) { e.Begin(); e.JSON("a", []byte(`{ }`)); e.End() }, ""},
		"too deep by its place": {func(e *Writer) {
			deepest := []byte(strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1))
			e.Begin()
			e.JSON("a", deepest)
			e.End()
		}, ""},
		"map of all sorts": {func(e *Writer) {
			e.Begin()
			if e.Map("a", map[string]any{"d": nil, "c": []string{"x"}, "b": -2, "a": "\""}) != nil {
				e.Begin()
			}
			e.Bool("b", false)
			e.Instant("c", when)
			e.End()
		}, `{"a":{"a":"\"","b":-2,"c":["x"],"d":null},"b":false,"c":"2026-01-02T03:04:05.000006Z"}`},
		"map with what is no JSON": {func(e *Writer) { e.Begin(); _ = e.Map("a", map[string]any{"f": math.NaN()}); e.End() }, ""},
		"too deep": {func(e *Writer) {
			for e.Begin(); e.level < maxLevels; {
				e.Object("a")
			}
			for e.level > 0 {
				e.End()
			}
		}, ""},
	} {
		var e Writer
		c.make(&e)
		body := e.Body()
		text := body.Bytes()
		switch {
		case body.Vouches(text) != (c.want != ""):
			t.Errorf("%s: vouched for is %v: %s", name, body.Vouches(text), text)
		case body.Vouches(text) && (string(text) != c.want || Check(text) != nil):
			t.Errorf("%s: %s, want %s", name, text, c.want)
		}
	}
}

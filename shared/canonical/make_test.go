package canonical

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestMake_values(t *testing.T) {
	t.Parallel()
	type ordered struct {
		A int    `json:"a"`
		B string `json:"b"`
	}
	type unordered struct {
		B string  `json:"b"`
		A float64 `json:"a"`
	}
	for _, c := range []struct {
		name string
		in   any
		want string // empty: refused
	}{
		{"struct in order", ordered{1, "x"}, `{"a":1,"b":"x"}`},
		{"struct out of order", unordered{"x", 1.0}, `{"a":1,"b":"x"}`},
		{"map", map[string]any{"b": nil, "a": []int{}, "": true}, `{"":true,"a":[],"b":null}`},
		{"html stays", "<a&b>", `"<a&b>"`},
		{"line separators are raw", "a\u2028b\u2029", "\"a\u2028b\u2029\""},
		{"controls", "\b\t\n\f\r\x00\x1f\x7f", `"\b\t\n\f\r\u0000\u001f` + "\x7f\""},
		{"not UTF-8", "a\xffb", "\"a\ufffdb\""},
		{"int64", []int64{math.MinInt64, math.MaxInt64, 1<<53 + 1}, `[-9223372036854775808,9223372036854775807,9007199254740993]`},
		{"uint64 too large", uint64(math.MaxUint64), ""},
		{"float too large for an integer", 1e20, ""},
		{"floats", []float64{0.1, -1.5e-9, 1e21, math.Copysign(0, -1), 1e18}, `[0.1,-1.5e-9,1e+21,0,1000000000000000000]`},
		{"raw message", json.RawMessage(" { \"b\" : 1e2 , \"a\" : \"\\u0041\\/\" } "), `{"a":"A/","b":100}`},
		{"raw message twice the member", json.RawMessage(`{"a":1,"\u0061":2}`), ""},
		{"escaped names sort as meant", map[string]int{"a\n": 1, "a ": 2, `a"`: 3, "a\\": 4}, `{"a\n":1,"a ":2,"a\"":3,"a\\":4}`},
		{"too deep", json.RawMessage(strings.Repeat("[", 200) + strings.Repeat("]", 200)), ""},
	} {
		got, err := Make(c.in)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: want an error, got %s", c.name, got)
			}
			continue
		}
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v; want %s", c.name, got, err, c.want)
		}
		if err := Check(got); err != nil {
			t.Errorf("%s: %s does not pass its own check: %v", c.name, got, err)
		}
	}
}

func TestCheck_refuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		``, ` `, `{} `, ` {}`, `{"a": 1}`, `{"b":1,"a":2}`, `{"a":1,"a":2}`, `{"a":1,}`, `[1,]`, `[1 ,2]`, `{a:1}`, `{"a"}`,
		`1.0`, `1e2`, `1E2`, `01`, `-0`, `-`, `+1`, `.5`, `1.`, `0.10`, `9223372036854775808`, `-9223372036854775809`, `1e400`, `NaN`, `1e21`, `1e+2`,
		`"`, `"\x"`, `"\/"`, `"\u0041"`, `"\u000a"`, `"\u001F"`, `"\u2028"`, `"\`, `"\u00`, "\"\n\"", "\"\xff\"", "\"abcdefgh\xc3\"",
		`tru`, `nul`, `nulll`, `{"a":1}{}`, `[1`, `{"a":1`, `{"a":`, `{"a\n":1,"a\n":2}`, `{"a ":1,"a\n":2}`,
		strings.Repeat("[", maxDepth+2) + strings.Repeat("]", maxDepth+2),
	} {
		if Check([]byte(bad)) == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

// Whatever is JSON becomes canonical and keeps its value; what passes the check is a fixed point.
func FuzzMake(f *testing.F) {
	for _, s := range []string{`{"b":[1,2.5,"x\u0000"],"a":null}`, `"\ud83d\ude00"`, `[1e3,-0.0,1e-7]`, `{"a\n":1,"a ":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		passes := Check(in) == nil
		if passes && !json.Valid(in) {
			t.Fatalf("%q passes and is not JSON", in)
		}
		if !json.Valid(in) {
			return
		}
		out, err := recode(in)
		if err != nil {
			if passes {
				t.Fatalf("%q passes the check and cannot be encoded: %v", in, err)
			}
			return
		}
		if err := Check(out); err != nil {
			t.Fatalf("%q became %q: %v", in, out, err)
		}
		if passes != bytes.Equal(in, out) {
			t.Fatalf("%q: passes %v, canonical form is %q", in, passes, out)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	body, err := Make(map[string]any{"id": "0193d7a8-1111-7abc-8def-0123456789ab", "state": "running",
		"created_at": "2026-11-25T22:43:46.123456789Z",
		"attempt":    3, "needs": []string{"create_servers", "kubernetes_taskserv"}, "output": strings.Repeat("some text of a task ", 8)})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Check(body); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "two\nlines \"quoted\\\" and\ta tab", "\b\f\r", "ä\n", "\x00\n", "\x7f", "bad \xff\n",
		"12345678\n12345678\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := Make(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendString([]byte("x"), s); string(got) != "x"+string(want) {
			t.Errorf("%q is written as %s, want %s", s, got[1:], want)
		}
	})
}

package config

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestEncodeYAML_textsStayTexts: readers of YAML 1.1 take no for false, 12:30 for 750 and 1_000 for
// a number; such texts stand in quotes. Ordinary words and ids do not.
func TestEncodeYAML_textsStayTexts(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"no", "No", "on", "y", "null", "~", "12:30", "1_000", "0x1f", "0o17", "1e3", ".5", "+1", "-1",
		"2026-01-01", "2026-01-01T10:00:00Z",
		"", " a", "a ", "a: b", "a #b", "- a", "? a", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a", "{a", "[a", "'a", "\"a", "a\nb", "a\tb",
		"true", ".inf", ".NaN", "=", "<<"} {
		if out := encode(t, map[string]any{"v": text}); !strings.HasPrefix(out, `v: "`) {
			t.Errorf("%q stands without quotes: %s", text, out)
		}
	}
	for _, text := range []string{"web-01", "Completed", "de-fra1", "01a22bde-f842-77a0-8fdf-29cc8ac2ecd9", "/usr/bin/env",
		"rolled back (twice)", "admin,operator"} {
		if out := encode(t, map[string]any{"v": text}); out != "v: "+text+"\n" {
			t.Errorf("%q stands as %s", text, out)
		}
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := EncodeYAML(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestEncodeYAML_sameValues reads back what was written, for every kind of JSON value.
func TestEncodeYAML_sameValues(t *testing.T) {
	t.Parallel()
	in := map[string]any{"list": []any{}, "object": map[string]any{}, "null": nil, "no": "no",
		"deep": []any{map[string]any{"a": 1.5, "b": []any{true, false, "x\x7f\u202e\U000e0041"}}}, "n": -7.0}
	var back map[string]any
	if err := DecodeYAML([]byte(encode(t, in)), &back); err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(in)
	got, _ := json.Marshal(back)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
	if out := encode(t, map[string]any{"big": json.Number("9007199254740993")}); out != "big: 9007199254740993\n" {
		t.Errorf("a large number: %s", out)
	}
}

package cli_test

import (
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/fault"
)

// TestCheckJSON_namesLineAndColumn: a slip in a file is found by an editor, not by counting.
func TestCheckJSON_namesLineAndColumn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{\n  \"a\": 1,\n  }":           "f:3:3:",
		"{\n  \"ä\": 1 2}":              "f:2:10:",
		"{\"a\": [1,":                   "f:1:10: this is not JSON: it ends",
		"{} \n {}":                      "f:2:2: there is something behind",
		"":                              "f:1:1:",
		"{'a': 1}":                      "f:1:2:",
		"{\"a\": 1} // a comment":       "f:1:10:",
		"{\"a\": tru}":                  "f:1:10:",
		"{\n\"a\": \"line\nfeed\"\n}\n": "f:2:11:",
	} {
		if err := cli.CheckJSON("f", []byte(text)); err == nil || !strings.Contains(err.Error(), want) || cli.Code(err) != cli.ExitUsage {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if err := cli.CheckJSON("f", []byte(" {\"a\": [1, 2]} \n")); err != nil {
		t.Error(err)
	}
}

// TestLocated_allFieldsAtOnce: every fault that the service named gets its place in the file.
func TestLocated_allFieldsAtOnce(t *testing.T) {
	t.Parallel()
	text := "{\n  \"name\": 7,\n  \"operations\": [\n    {\"id\": \"a\"},\n    {\"id\" :\n      \"b\", \"a/b~\": null}\n  ]\n}\n"
	err := cli.Located("batch.json", []byte(text), fault.New(fault.Invalid, "x", "wrong").With(
		fault.Field{Pointer: "/name", Message: "m"}, fault.Field{Pointer: "/operations/1/id", Message: "m"},
		fault.Field{Pointer: "/operations/0/type", Message: "missing"},
		fault.Field{Pointer: "/operations/1/a~1b~0", Message: "m"}, fault.Field{Pointer: "", Message: "m"},
		fault.Field{Pointer: "/nowhere/at/all", Message: "m"}))
	var got []string
	for _, f := range fault.Of(err).Fields {
		got = append(got, f.Pointer)
	}
	want := []string{"batch.json:2:11: /name", "batch.json:6:7: /operations/1/id", "batch.json:4:5: /operations/0/type",
		"batch.json:6:20: /operations/1/a~1b~0",
		"batch.json:1:1: ", "batch.json:1:1: /nowhere/at/all"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

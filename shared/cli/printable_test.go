package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/config"
)

// hostile holds names that move the cursor, ring, hide, turn or break text: C0, DEL, C1, marks of
// direction, invisible letters, broken UTF-8, and a plane above the first one without a shape.
var hostile = []string{"a\x1b[2Jb", "bell\a", "del\x7f", "csi\u009b31m", "turn\u202egpj.exe", "zero\u200bwidth", "soft\u00adhyphen",
	"tag\U000e0041",
	"bad\xffutf8", "nul\x00", "bom\ufeff", "line\u2028sep"}

// TestPrint_namesDoNotReachTheTerminalRaw: whatever a name holds, no format and no message writes a
// character that a terminal acts on, and JSON and YAML still mean the name itself.
func TestPrint_namesDoNotReachTheTerminalRaw(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"table", "json", "jsonl", "yaml"} {
		o, out, errs := sandbox(t)
		run := func(_ context.Context, o *cli.IO, _ []string) error {
			table := cli.Table{Head: []string{"NAME"}}
			for _, name := range hostile {
				table.Rows = append(table.Rows, []string{name})
				o.Note("about %s", name)
			}
			return errors.Join(o.Print(hostile, table), errors.New("failed for "+strings.Join(hostile, " ")))
		}
		cli.Main(t.Context(), tree(run), o, []string{"noun", "verb", "1", "-o", format})
		for _, r := range out.String() + errs.String() {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%s: character %U reaches the terminal", format, r)
			}
		}
		var names []string
		var err error
		switch format {
		case "json":
			err = json.Unmarshal(out.Bytes(), &names)
		case "yaml":
			err = config.DecodeYAML(out.Bytes(), &names)
		default:
			continue
		}
		for i, name := range hostile {
			if want := strings.ToValidUTF8(name, "\ufffd"); err != nil || len(names) != len(hostile) || names[i] != want {
				t.Errorf("%s: %v, read back as %+q, want %+q", format, err, names, want)
			}
		}
	}
}

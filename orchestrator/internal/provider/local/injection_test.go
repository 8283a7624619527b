package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
)

// TestRun_injection is I10 behind the API: more than 300 payloads go to a program that prints its
// arguments; each arrives as it was, or is refused before it is sent, and no trap file appears.
func TestRun_injection(t *testing.T) {
	t.Parallel()
	d := open(t, place(t))
	s := create(t, d, "tag")
	c, err := d.Connect(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var payloads []string
	for _, open := range []string{"", "x", "'", `"`, "\\", "\n", "-", "$", "%"} {
		for _, middle := range []string{"; touch TRAP", "| touch TRAP", "& touch TRAP #", "`touch TRAP`", "$(touch TRAP)", "\ntouch TRAP\n",
			"> TRAP", "*", "?", "%s%n",
			"${IFS}touch${IFS}TRAP", "\\'; touch TRAP; \\'", "<(touch TRAP)", "\x01\x1b[2J", "\xff"} {
			for _, end := range []string{"", "'", `"`} {
				payloads = append(payloads, open+middle+end)
			}
		}
	}
	payloads = append(payloads, strings.Repeat("A", 100<<10))
	if len(payloads) < 300 {
		t.Fatalf("only %d payloads", len(payloads))
	}
	for i := 0; i < len(payloads); i += 10 { // ten in one vector: each still has to come out by itself
		some := payloads[i:min(i+10, len(payloads))]
		out, err := c.Run(t.Context(), provider.Command{Argv: append([]string{"printf", `%s\0`}, some...), Env: map[string]string{"PROVISIONING_TEST": some[0]}})
		if want := strings.Join(some, "\x00") + "\x00"; err != nil || string(out.Output) != want {
			t.Errorf("payloads %d…: got %.300q (%v), want %.300q", i, out.Output, err, want)
		}
	}
	for _, refused := range []string{"a\x00b", strings.Repeat("A", 200<<10)} {
		if _, err := c.Run(t.Context(), provider.Command{Argv: []string{"printf", refused}}); err == nil {
			t.Errorf("%.10q… was sent", refused)
		}
	}
	filepath.WalkDir(s.Facts["root"], func(path string, _ os.DirEntry, err error) error {
		if err != nil || strings.Contains(path, "TRAP") {
			t.Errorf("trap: %s", fmt.Sprint(path, err))
		}
		return nil
	})
}

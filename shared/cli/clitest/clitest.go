// Package clitest checks what every verb of a command line has to do alike, by walking all of them.
// The tests of both programs call it with their own tree; it is in no binary.
package clitest

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/provisioning-platform/platform/shared/cli"
)

// id is the id of everything that the fake service has.
const id = "01890000-0000-7000-8000-000000000001"

// walk calls visit for every verb that is shown, with its words and the words of its arguments.
func walk(c cli.Command, above []string, visit func(words, arguments []string, c cli.Command)) {
	use := strings.Fields(c.Use)
	if c.Hidden {
		return
	}
	if c.Run != nil {
		visit(append(slices.Clone(above), use[0]), use[1:], c)
	}
	for _, sub := range c.Commands {
		walk(sub, append(slices.Clone(above), use[0]), visit)
	}
}

// Examples fails for every verb of root whose help has no example that begins with the verb's own
// words.
func Examples(t *testing.T, root cli.Command) {
	t.Helper()
	seen := 0
	walk(root, nil, func(words, _ []string, c cli.Command) {
		seen++
		verb := strings.Join(words, " ")
		if c.Example == "" {
			t.Errorf("the help of %s has no example", verb)
		}
		for line := range strings.Lines(c.Example) {
			if !strings.HasPrefix(line, "  "+verb) {
				t.Errorf("%s: the example %q is of another verb", verb, line)
			}
		}
	})
	if seen < 15 {
		t.Errorf("the walk saw %d verbs: it is blind", seen)
	}
}

// Destructive runs each verb of root that changes something at the service, without --yes and
// without a terminal. destroys names all of them by their words behind the program's, and says
// which destroy what cannot be had back: those must end with 2, name --yes and change nothing; with
// --yes they must go on. more are the flags that a verb needs to get so far.
func Destructive(t *testing.T, root cli.Command, destroys map[string]bool, more map[string][]string) {
	t.Helper()
	var changes atomic.Int32
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			changes.Add(1)
		}
		_, _ = w.Write([]byte(`{"success":true,"data":{"id":"` + id + `","name":"n","username":"n","success":true}}`))
	}))
	t.Cleanup(service.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("t"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(credential string, words ...string) (code int, errs string) {
		var stderr bytes.Buffer
		code = cli.Main(t.Context(), root, &cli.IO{
			In: strings.NewReader("yes\n"), Out: &bytes.Buffer{}, Err: &stderr,
			Getenv: func(string) string { return "" }, Environ: func() []string { return nil },
		}, append(words, "--server", service.URL, credential, token))
		return code, stderr.String()
	}
	seen := map[string]bool{}
	walk(root, nil, func(words, arguments []string, c cli.Command) {
		verb := strings.Join(words[1:], " ")
		destroys, known := destroys[verb]
		if seen[verb] = true; c.Changes && !known {
			t.Errorf("%s changes something: say whether it destroys what cannot be had back", verb)
		}
		if !destroys {
			return
		}
		line := append(slices.Clone(words[1:]), more[verb]...)
		for _, word := range arguments {
			if word == "NUMBER" {
				word = "1"
			} else {
				word = id
			}
			line = append(line, word)
		}
		credential, flags := "--token-file", new(cli.Flags)
		if c.Flags(flags); flags.Lookup("token-file") == nil { // of the Provisioning API, which takes passwords
			credential = "--password-file"
		}
		code, errs := run(credential, line...)
		if code != cli.ExitUsage || !strings.Contains(errs, "--yes") || changes.Load() != 0 {
			t.Errorf("%s without a terminal ends with %d after %d changes: %s", verb, code, changes.Load(), errs)
		}
		if code, errs := run(credential, append(line, "--yes")...); code != 0 || changes.Load() != 1 {
			t.Errorf("%s --yes ends with %d after %d changes: %s", verb, code, changes.Load(), errs)
		}
		changes.Store(0)
	})
	for verb := range destroys {
		if !seen[verb] {
			t.Errorf("there is no verb %s", verb)
		}
	}
}

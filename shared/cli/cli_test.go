package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
)

// sandbox returns streams in memory and an environment with a folder of its own.
func sandbox(t *testing.T) (*cli.IO, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	out, errs := &bytes.Buffer{}, &bytes.Buffer{}
	return &cli.IO{In: strings.NewReader(""), Out: out, Err: errs, Format: "table", Getenv: func(name string) string {
		if name == "XDG_CONFIG_HOME" {
			return dir
		}
		return ""
	}}, out, errs
}

func tree(run func(context.Context, *cli.IO, []string) error) cli.Command {
	return cli.Command{Use: "prog", Commands: []cli.Command{{Use: "noun", Commands: []cli.Command{{Use: "verb ID", Args: 1, Run: run}}}}}
}

func TestMain_exitCodesFollowTheFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {errors.New("x"), 1}, {fault.New(fault.Internal, "a", "x"), 1}, {cli.Usage("x"), 2},
		{fault.New(fault.Invalid, "a", "x"), 2},
		{fault.New(fault.NotFound, "a", "x"), 3}, {fault.New(fault.Unauthenticated, "a", "x"), 4}, {fault.New(fault.Denied, "a", "x"), 5},
		{fault.New(fault.Conflict, "a", "x"), 6}, {context.DeadlineExceeded, 7}, {cli.Exit(8, errors.New("x")), 8},
		{fault.New(fault.Unavailable, "a", "x"), 10}, {cli.Exit(cli.ExitUnverified, fault.New(fault.Conflict, "a", "x")), 11},
		{context.Canceled, 130},
	} {
		o, _, errs := sandbox(t)
		got := cli.Main(t.Context(), tree(func(context.Context, *cli.IO, []string) error { return c.err }), o,
			[]string{"noun", "verb", "1"})
		if got != c.want || (c.err == nil) != (errs.Len() == 0) {
			t.Errorf("%v ends with %d and %q, want %d", c.err, got, errs, c.want)
		}
	}
}

func TestMain_wrongWordsNameTheRightOnes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"noun", "verbs"}, "it has: verb"},
		{[]string{"noun", "verbs", "x", "--no-such-flag"}, "it has: verb"},
		{[]string{"noun", "verb"}, "takes 1 argument(s), not 0"},
		{[]string{"noun", "verb", "1", "--nope"}, "--help"},
		{[]string{"noun", "verb", "1", "-o", "xml"}, "table, json, yaml or jsonl"},
	} {
		o, _, errs := sandbox(t)
		code := cli.Main(t.Context(), tree(func(context.Context, *cli.IO, []string) error { return nil }), o, c.args)
		if code != cli.ExitUsage || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%v ends with %d: %s", c.args, code, errs)
		}
	}
}

func TestMain_faultyFieldsStandBelowTheMessage(t *testing.T) {
	t.Parallel()
	o, _, errs := sandbox(t)
	refused := fault.New(fault.Invalid, "batch.invalid", "not valid").With(fault.Field{Pointer: "/name", Message: "a name is needed"})
	cli.Main(t.Context(), tree(func(context.Context, *cli.IO, []string) error { return refused }), o, []string{"noun", "verb", "1"})
	if errs.String() != "error: not valid\n  /name: a name is needed\n" {
		t.Errorf("%q", errs)
	}
}

func TestPrint_formats(t *testing.T) {
	t.Parallel()
	type row struct {
		ID   string `json:"id"`
		Done bool   `json:"done"`
	}
	rows := []row{{"a", true}, {"b: c", false}}
	table := cli.Table{Head: []string{"ID", "DONE"}, Rows: [][]string{{"a", "yes"}, {"b:\nc", "no"}}}
	for format, want := range map[string]string{
		"table": "ID    DONE\na     yes\nb: c  no\n",
		"jsonl": "{\"id\":\"a\",\"done\":true}\n{\"id\":\"b: c\",\"done\":false}\n",
		"yaml":  "- id: a\n  done: true\n- id: \"b: c\"\n  done: false\n",
	} {
		o, out, _ := sandbox(t)
		o.Format = format
		if err := o.Print(rows, table); err != nil || out.String() != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", format, err, out, want)
		}
	}
	o, out, _ := sandbox(t)
	o.Format = "json"
	var back []row
	if err := o.Print(rows, table); err != nil || json.Unmarshal(out.Bytes(), &back) != nil || len(back) != 2 || back[1] != rows[1] {
		t.Errorf("json: %v %s", err, out)
	}
}

func TestSignIn_isSavedForItsOwnerOnlyAndRenewedInTime(t *testing.T) {
	t.Parallel()
	renewals := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		renewals++
		if r.URL.Path != "/auth/refresh" || r.Header.Get("Authorization") != "" {
			t.Errorf("%s %s", r.URL.Path, r.Header)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"success": true,
			"data": map[string]any{"token": "fresh", "expires_at": time.Now().Add(time.Hour), "refresh_token": "rt_next"}})
	}))
	t.Cleanup(server.Close)
	o, _, _ := sandbox(t)
	target := cli.Target{Default: server.URL, Env: "X_SERVER", Issuer: true}
	if _, err := target.Client(t.Context(), o); !fault.Is(err, fault.Unauthenticated) || !strings.Contains(err.Error(), "auth login") {
		t.Errorf("signed out: %v", err)
	}
	if err := o.SaveSignIn(cli.SignIn{Server: server.URL, Username: "ann", Token: "old", ExpiresAt: time.Now().Add(time.Second),
		RefreshToken: "rt_first"}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(o.Getenv("XDG_CONFIG_HOME"), "provisioning-platform", "credentials.json")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	for range 2 {
		api, err := target.Client(t.Context(), o)
		if err != nil || api.Token.Reveal() != "fresh" {
			t.Fatalf("%v", err)
		}
	}
	// A verb that outlives its token goes on with the next one, while it is the same user's.
	api, err := target.Client(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	saved, err := o.LoadSignIn()
	if err != nil {
		t.Fatal(err)
	}
	short := saved
	short.Token, short.ExpiresAt = "short", time.Now().Add(time.Second)
	if err := o.SaveSignIn(short); err != nil {
		t.Fatal(err)
	}
	if raw, ends, err := api.Fresh(t.Context()); err != nil || raw.Reveal() != "fresh" || time.Until(ends) < time.Minute || renewals != 2 {
		t.Errorf("the next token is %q until %s after %d renewals, %v", raw.Reveal(), ends, renewals, err)
	}
	short.Username = "bob"
	if err := o.SaveSignIn(short); err != nil {
		t.Fatal(err)
	}
	if _, _, err := api.Fresh(t.Context()); fault.CodeOf(err) != "cli.other_user" {
		t.Errorf("another user has signed in: %v", err)
	}
	if err := o.SaveSignIn(saved); err != nil {
		t.Fatal(err)
	}
	renewals = 1
	if saved, err := o.LoadSignIn(); err != nil || renewals != 1 || saved.RefreshToken != "rt_next" {
		t.Errorf("%d renewals, %+v, %v", renewals, saved.ExpiresAt, err)
	}
	if err := o.DropSignIn(); err != nil {
		t.Fatal(err)
	}
	if _, err := o.LoadSignIn(); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("dropped, but %v", err)
	}
}

func TestAsk_refusesWithoutTerminal(t *testing.T) {
	t.Parallel()
	o, _, _ := sandbox(t)
	if _, err := o.Ask("password: ", true); !errors.Is(err, cli.ErrNoTerminal) {
		t.Errorf("%v", err)
	}
}

func TestPrintList_saysHowToGoOn(t *testing.T) {
	t.Parallel()
	o, _, errs := sandbox(t)
	for _, l := range []client.List[int]{
		{Rows: make([]int, 50), Extent: client.Extent{Total: 120, Exact: true, Next: "a"}},
		{Rows: make([]int, 20), Extent: client.Extent{Total: 120, Exact: true}},
		{Rows: make([]int, 50), Extent: client.Extent{Total: 51, Next: "b"}},
	} {
		if err := cli.PrintList(o, l, cli.Table{}); err != nil {
			t.Error(err)
		}
	}
	if errs.String() != "50 of 120 shown; the next: --after a\n50 of at least 51 shown; the next: --after b\n" {
		t.Errorf("%q", errs)
	}
}

// TestMain_completionOfAnUnknownShellIsNoScript is about a typo in a start-up file of a shell: what
// is printed to standard output there is run.
func TestMain_completionOfAnUnknownShellIsNoScript(t *testing.T) {
	t.Parallel()
	o, out, errs := sandbox(t)
	if code := cli.Main(t.Context(), tree(nil), o, []string{"completion", "bsh"}); code != cli.ExitUsage || out.Len() > 0 ||
		!strings.Contains(errs.String(), "bash, fish, powershell, zsh") {
		t.Errorf("exit code %d, standard output %q, error output %q", code, out, errs)
	}
	if code := cli.Main(t.Context(), tree(nil), o, []string{"completion", "bash"}); code != 0 ||
		!strings.Contains(out.String(), "__start_prog") {
		t.Errorf("completion bash ends with %d and %d bytes", code, out.Len())
	}
}

func TestMain_proposesWhatAFlagMayName(t *testing.T) {
	t.Parallel()
	o, out, _ := sandbox(t)
	root := tree(func(context.Context, *cli.IO, []string) error { return nil })
	verb := &root.Commands[0].Commands[0]
	verb.Flags = func(f *cli.Flags) { f.String("checkpoint", "", "") }
	verb.Proposed = map[string]func(context.Context,
		*cli.IO) []string{"checkpoint": func(context.Context, *cli.IO) []string { return []string{"before_web"} }}
	if cli.Main(t.Context(), root, o, []string{"__complete", "noun", "verb", "--checkpoint", ""}); out.String() != "before_web\n:4\n" {
		t.Errorf("proposed %q", out)
	}
}

func TestSecretFile_aWrongFileIsAUsageError(t *testing.T) {
	t.Parallel()
	open := filepath.Join(t.TempDir(), "open")
	if err := os.WriteFile(open, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{open, open + ".missing"} {
		if _, err := cli.SecretFile(path); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v ends with %d", path, err, cli.Code(err))
		}
	}
}

// TestMain_aRefusalIsSaidOnce: the one field of a refusal whose message holds it is no second line.
func TestMain_aRefusalIsSaidOnce(t *testing.T) {
	t.Parallel()
	o, _, errs := sandbox(t)
	refused := fault.New(fault.Invalid, "x", "/name: is needed").With(fault.Field{Pointer: "/name", Message: "is needed"})
	cli.Main(t.Context(), tree(func(context.Context, *cli.IO, []string) error { return refused }), o, []string{"noun", "verb", "1"})
	if errs.String() != "error: /name: is needed\n" {
		t.Errorf("%q", errs)
	}
}

// TestMain_aWrongNumberIsExplainedInTheWordsOfALibrary holds the texts free of strconv and time.
func TestMain_aWrongNumberIsExplainedInTheWordsOfALibrary(t *testing.T) {
	t.Parallel()
	root := tree(func(context.Context, *cli.IO, []string) error { return nil })
	root.Commands[0].Commands[0].Flags = func(f *cli.Flags) {
		f.Uint64("from", 0, "a number")
		f.Int("limit", 0, "a number")
		f.Duration("timeout", 0, "a time span")
		f.Bool("yes", false, "a bool")
	}
	for flag, says := range map[string]string{
		"--from=x": "a whole number, 0 or more", "--limit=9z": "a whole number", "--timeout=3": "write 30s", "--yes=maybe": "true or false",
	} {
		o, _, errs := sandbox(t)
		code := cli.Main(t.Context(), root, o, []string{"noun", "verb", "1", flag})
		if text := errs.String(); code != cli.ExitUsage || !strings.Contains(text, says) || strings.Contains(text, "strconv") ||
			strings.Contains(text, "time:") {
			t.Errorf("%s ends with %d: %s", flag, code, text)
		}
	}
}

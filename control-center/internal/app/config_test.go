package app

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

// run runs the binary's command line and returns its exit code and what it wrote.
func run(env []string, args ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	code = cli.Main(context.Background(), Root(), &cli.IO{
		In: strings.NewReader(""), Out: &stdout, Err: &stderr, Format: "table",
		Getenv: func(name string) string {
			for _, e := range env {
				if n, v, _ := strings.Cut(e, "="); n == name {
					return v
				}
			}
			return ""
		},
		Environ: func() []string { return env },
	}, args)
	return code, stdout.String(), stderr.String()
}

// TestConfigCheck_refusesWhatServeRefuses: check and serve decide with one function, name the key,
// and say all that is wrong at once.
func TestConfigCheck_refusesWhatServeRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"private": 0o600, "readable": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("a password of a role\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		file string
		env  []string
		args []string
		want []string
	}{
		"no data folder":     {want: []string{"--data DIR"}},
		"log level":          {file: "log_level = \"loud\"", want: []string{":1:", "loud"}},
		"proxies":            {file: "trusted_proxies = [\"everybody\"]", want: []string{":1:", "everybody"}},
		"proxies by env":     {env: []string{"CONTROL_CENTER_TRUSTED_PROXIES=everybody"}, want: []string{"a network such as 10.0.0.0/8"}},
		"short tokens":       {file: "[tokens]\naccess_ttl = \"1s\"", want: []string{"tokens.access_ttl"}},
		"long tokens":        {file: "[tokens]\naccess_ttl = \"25h\"\nrefresh_idle = \"25h\"", want: []string{"tokens.access_ttl"}},
		"idle below access":  {file: "[tokens]\nrefresh_idle = \"1m\"", want: []string{"tokens.refresh_idle"}},
		"session below idle": {file: "[tokens]\nsession_max = \"1h\"", want: []string{"tokens.session_max"}},
		"limit of nothing": {file: "[rate_limits]\ngeneral = 0\nbatch = -1",
			want: []string{"rate_limits.general must be at least 1, not 0", "rate_limits.batch"}},
		"history below 0": {file: "[retention]\nevents_max_age = \"-1h\"\nevents_max = -1",
			want: []string{"retention.events_max_age", "retention.events_max must"}},
		"another spelling":               {file: "[Rate_Limits]\nenabled = false", want: []string{"did you mean rate_limits?"}},
		"bad listener":                   {args: []string{"--listen", "9080"}, want: []string{"HOST:PORT"}},
		"plain text beyond this machine": {args: []string{"--listen", "0.0.0.0:0"}, want: []string{"server.plaintext", "tls.cert"}},
		"no certificate there":           {file: "[tls]\ncert = \"nowhere\"\nkey = \"nowhere\"", want: []string{"tls.key", "nowhere"}},
		"a wildcard for pages":           {file: "[cors]\norigins = [\"*\"]", want: []string{"cors.origins"}},
		"bad port for the peer":          {file: "[tls.peer]\nlisten = \"9443\"", want: []string{"tls.peer.listen", "HOST:PORT"}},
		"a password that is not there": {file: "[provisioning]\nadmin_password_file = \"nowhere\"",
			want: []string{"provisioning", "nowhere"}},
		"a password that all can read": {file: "[provisioning]\npublisher_password_file = \"readable\"",
			want: []string{"readable", "chmod"}},
		"two servers on one address": {file: "listen = [\"127.0.0.1:7777\"]\n[provisioning]\nadmin_password_file = \"private\"",
			want: []string{"provisioning.listen: 127.0.0.1:7777 is listened on already, by listen"}},
		"one address twice": {file: "[provisioning]\nadmin_password_file = \"private\"\nlisten = [\"127.0.0.1:7\", \"127.0.0.1:7\"]",
			want: []string{"127.0.0.1:7 is listened on already, by provisioning.listen"}},
		"passwords in the clear": {file: "[provisioning]\nadmin_password_file = \"private\"\nlisten = [\"0.0.0.0:7777\"]",
			want: []string{"provisioning.listen", "server.plaintext"}},
		"a bad address of the directory": {file: "[provisioning]\nadmin_password_file = \"private\"\nlisten = [\"7777\"]",
			want: []string{"provisioning.listen", "HOST:PORT"}},
		"bad port":          {args: []string{"--listen", "127.0.0.1:70000"}, want: []string{"0 to 65535"}},
		"password in a URL": {args: []string{"--store", "surrealdb://root:hunter2@h:1/a/b"}, want: []string{"password"}},
		"sync not stated":   {args: []string{"--store", "surrealdb://root@h:1/a/b"}, want: []string{"sync = \"every\""}},
		"no database": {file: "[store]\nsync = \"every\"", args: []string{"--store", "surrealdb://root@h:1/a"},
			want: []string{"database"}},
		"no password file": {file: "[store]\npassword_file = \"nowhere\"", want: []string{"nowhere"}},
		"all at once": {file: "[rate_limits]\ngenral = 5\nbatch = 0", env: []string{"CONTROL_CENTER_LOG_LEVEL=loud"},
			want: []string{"genral", "rate_limits.batch", "CONTROL_CENTER_LOG_LEVEL", "--data"}},
		"a wrong type": {file: "[mfa]\nrequired = 5\n[tokens]\nrefresh_idle = \"1m\"\n[rate_limits]\ngeneral = \"x\"\ngenral = 1",
			want: []string{":2:12:", ":6:11:", "genral", "tokens.refresh_idle", "is not initialised"}},
	} {
		file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".toml")
		if err := os.WriteFile(file, []byte(c.file+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		args := append([]string{"--config", file}, c.args...)
		if name != "no data folder" && name != "all at once" {
			args = append(args, "--data", filepath.Join(dir, "none"))
		}
		for _, verb := range [][]string{{"config", "check"}, {"serve"}} {
			code, out, errs := run(c.env, append(append([]string{}, verb...), args...)...)
			if code != cli.ExitUsage || out != "" {
				t.Errorf("%s: %v ended with %d, %q", name, verb, code, errs)
			}
			for _, w := range c.want {
				if !strings.Contains(errs, w) {
					t.Errorf("%s: %v says %q, which lacks %q", name, verb, errs, w)
				}
			}
			if strings.Contains(errs, "hunter2") {
				t.Errorf("%s: %v shows the password: %s", name, verb, errs)
			}
		}
	}
}

// TestConfigShow_hidesAPasswordInTheURL: show prints what check refuses, without the secret in it.
func TestConfigShow_hidesAPasswordInTheURL(t *testing.T) {
	t.Parallel()
	code, out, _ := run([]string{"CONTROL_CENTER_STORE_URL=surrealdb://root:hunter2@h:1/a/b"}, "config", "show")
	if code != 0 || strings.Contains(out, "hunter2") || !strings.Contains(out, "surrealdb://root:[secret]@h:1/a/b") {
		t.Errorf("%d %s", code, out)
	}
}

// TestConfigCheck_listsStrangeNamesOfTheEnvironment is decision 61.
func TestConfigCheck_listsStrangeNamesOfTheEnvironment(t *testing.T) {
	t.Parallel()
	code, _, errs := run([]string{"CONTROL_CENTER_SOMETHING_ELSE=1", "CONTROL_CENTER_SERVICE_HOST=x", "CONTROL_CENTER_SERVER=http://x"},
		"config", "check", "--data", initialised(t))
	if code != 0 || !strings.Contains(errs, "CONTROL_CENTER_SOMETHING_ELSE") || strings.Contains(errs, "SERVICE_HOST") ||
		strings.Contains(errs, "CONTROL_CENTER_SERVER") {
		t.Errorf("%d %s", code, errs)
	}
}

// initialised returns a data folder as init makes it.
func initialised(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if code, _, errs := run(nil, "init", "--data", dir); code != 0 {
		t.Fatal(errs)
	}
	return dir
}

// TestConfigCheck_isGoodOfAFolderThatServeRefuses: both look at the data folder with one function,
// say the same, and check writes nothing.
func TestConfigCheck_isGoodOfAFolderThatServeRefuses(t *testing.T) {
	t.Parallel()
	good := initialised(t)
	if code, _, errs := run(nil, "config", "check", "--data", good); code != 0 || !strings.Contains(errs, "good") {
		t.Fatalf("%d %s", code, errs)
	}
	if _, err := audit.MakeKeys(instance.Folder(good).AuditKeys(), "d/audit"); err != nil { // as the first serve does
		t.Fatal(err)
	}
	if _, err := secret.MakeKey(filepath.Join(instance.Folder(good).Keys(), idempotency.KeyFile)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		open []string // below the folder; others can read them
		data string   // another folder
		want []string
	}{
		"not there":       {data: filepath.Join(good, "none"), want: []string{"is not initialised", "control-center init --data"}},
		"not initialised": {data: t.TempDir(), want: []string{"is not initialised", "control-center init --data"}},
		"no folder":       {data: bootstrap.FilePath(good), want: []string{"bootstrap.json"}},
		"readable":        {open: []string{"."}, want: []string{"chmod 700 " + good}},
		"all of it": {open: []string{".", "bootstrap.json", "keys", "keys/kek", "keys/idempotency", "keys/audit/treehead.pem",
			"keys/audit/witness.pem"},
			want: []string{"chmod 700 " + good + "\n", "chmod 600 " + good + "/bootstrap.json", "chmod 700 " + good + "/keys\n", "/kek",
				"/idempotency", "/treehead.pem", "/witness.pem"}},
	} {
		for _, path := range c.open {
			mode := os.FileMode(0o755)
			if err := os.Chmod(filepath.Join(good, path), mode); err != nil {
				t.Fatal(err)
			}
		}
		dir := c.data
		if dir == "" {
			dir = good
		}
		before := files(t, filepath.Dir(good))
		code, out, checked := run(nil, "config", "check", "--data", dir)
		if code != cli.ExitFailed || out != "" {
			t.Errorf("%s: config check ends with %d: %s", name, code, checked)
		}
		for _, want := range c.want {
			if !strings.Contains(checked, want) {
				t.Errorf("%s: config check says %q, which lacks %q", name, checked, want)
			}
		}
		if after := files(t, filepath.Dir(good)); after != before {
			t.Errorf("%s: config check changed %s to %s", name, before, after)
		}
		if code, _, served := run(nil, "serve", "--data", dir); code != cli.ExitFailed || served != checked {
			t.Errorf("%s: serve ends with %d and says %q, config check %q", name, code, served, checked)
		}
		for _, path := range c.open {
			mode := os.FileMode(0o600)
			if info, err := os.Stat(filepath.Join(good, path)); err == nil && info.IsDir() {
				mode = 0o700
			}
			if err := os.Chmod(filepath.Join(good, path), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// files lists what lies below dir, with sizes, modes and times.
func files(t *testing.T, dir string) (list string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		list += fmt.Sprintln(path, info.Size(), info.Mode(), info.ModTime())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

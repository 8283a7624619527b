package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// newDirectoryShell starts a control-center alone with the Provisioning API.
func newDirectoryShell(t *testing.T) *shell {
	t.Helper()
	o := sample(t)
	o.Directory = "127.0.0.1:0"
	s := &shell{Rig: rigtest.Prepare(t, o), values: map[string]string{"dir": o.Dir}}
	if err := s.ControlCenter.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.values["admin"], s.values["publisher"] = o.DirectoryPassword("admin"), o.DirectoryPassword("publisher")
	s.values["api"] = "--server " + s.ControlCenter.Directory
	for name, text := range map[string]string{"mail": "pass: wörd", "new": "another pass", "empty.json": "", "bad.json": "{"} {
		s.values[name] = filepath.Join(o.Dir, name)
		write(t, s.values[name], text)
	}
	for name, topic := range map[string]string{"one.json": "users/user", "other.json": "groups/group"} {
		s.values[name] = filepath.Join(o.Dir, name)
		write(t, s.values[name], `{"publisher_name": "udm-listener", "ts": "2026-01-01T10:00:00", "realm": "udm", "topic": "`+topic+`",
 "body": {"old": {}, "new": {"objectType": "`+topic+`", "n": 18446744073709551617, "f": 1.0, "t": "<ü&>"}}}`+"\n")
	}
	one, err := os.ReadFile(s.values["one.json"])
	if err != nil {
		t.Fatal(err)
	}
	s.values["two.json"] = filepath.Join(o.Dir, "two.json")
	write(t, s.values["two.json"], string(one)+"["+string(one)+"]")
	return s
}

// TestCLI_directoryEvents walks through what an operator of the Provisioning API does: every verb
// works, and says what is wrong and what to do about it.
func TestCLI_directoryEvents(t *testing.T) {
	s := newDirectoryShell(t)
	s.Env = append(s.Env, "CONTROL_CENTER_PROVISIONING_SERVER="+s.ControlCenter.Directory+"/") // a slash at the end is none
	for _, v := range []verb{
		{line: "control-center subscription create mail --topic udm:users/user --consumer-password-file {mail} --max-deliveries 2 " +
			"--password-file {admin}", err: "signs in as mail"},
		{line: "control-center subscription create mail --topic udm:users/* --consumer-password-file {mail} --password-file {admin}",
			code: exitConflict},
		{line: "control-center subscription create a.b --topic udm:users/* --consumer-password-file {mail} --password-file {admin}",
			code: exitUsage, err: "name"},
		{line: "control-center subscription create x --consumer-password-file {mail} --password-file {admin}", code: exitUsage,
			err: "--topic"},
		{line: "control-center subscription create x --topic udm --consumer-password-file {mail} --password-file {admin}",
			code: exitUsage, err: "REALM:TOPIC"},
		{line: "control-center subscription create x --topic udm:users/* --password-file {admin}", code: exitUsage,
			err: "--consumer-password-file"},
		{line: "control-center subscription list", code: exitUsage, err: "--password-file"},
		{line: "control-center subscription list --password-file {publisher}", code: exitNotSignedIn, err: "another user name or password"},
		{line: "control-center subscription list --password-file {admin} --server http://127.0.0.1:1", code: exitUnreachable},
		{line: "control-center subscription list --password-file {admin}", out: "udm:users/user"},
		{line: "control-center subscription show mail --password-file {admin}", out: "dead after 2 deliveries"},
		{line: "control-center subscription show mail --user mail --password-file {mail} -o json", out: `"waiting": 0`},
		{line: "control-center subscription show nobody --password-file {admin}", code: exitNotFound, err: "subscription list"},
		{line: "control-center event publish {one.json} --password-file {publisher}", err: "published 1"},
		{line: "control-center event publish {one.json} --password-file {admin}", code: exitNotSignedIn},
		{line: "control-center event publish {two.json} --idempotency-key k --password-file {publisher}", err: "published 2"},
		{line: "control-center event publish {two.json} --idempotency-key k --password-file {publisher}", err: "published 2"},
		{line: "control-center event publish {other.json} --password-file {publisher}"},
		{line: "control-center event publish {empty.json} --password-file {publisher}", code: exitUsage, err: "0 messages"},
		{line: "control-center event publish {bad.json} --password-file {publisher}", code: exitUsage, err: "no JSON"},
		{line: "control-center subscription show mail --password-file {admin} -o json", out: `"waiting": 3`},
		{line: "control-center subscription watch mail --keep --count 1 --password-file {mail}", out: `"sequence_number":1`},
		{line: "control-center subscription watch mail --count 1 --password-file {mail}", out: `"num_delivered":2`},
		{line: "control-center subscription watch mail --count 1 --password-file {mail}", out: `"sequence_number":2`},
		{line: "control-center subscription watch mail --password-file {admin}", code: exitNotSignedIn},
		{line: "control-center subscription update mail --password-file {admin}", code: exitUsage, err: "--topic"},
		{line: "control-center subscription update mail --redelivery 1500ms --consumer-password-file {new} --password-file {admin}"},
		{line: "control-center subscription show mail --user mail --password-file {mail}", code: exitNotSignedIn},
		{line: "control-center subscription show mail --user mail --password-file {new}",
			out: "redelivery after 1.5s, dead after 2 deliveries"},
		{line: "control-center subscription update mail --topic udm:groups/* --password-file {admin}"},
		{line: "control-center subscription rewind mail --password-file {admin}", code: exitUsage, err: "--since"},
		{line: "control-center subscription rewind mail --since yesterday --password-file {admin}", code: exitUsage, err: "--since"},
		{line: "control-center subscription rewind mail --from 1 --password-file {admin}", err: "again"},
		{line: "control-center subscription watch mail --count 1 --password-file {new}", out: `"topic":"groups/group"`},
		{line: "control-center prefill restart mail --password-file {admin}"},
		{line: "control-center dead-letter list mail --password-file {admin}", out: "NUMBER"},
		{line: "control-center dead-letter show mail 1 --password-file {admin}", code: exitNotFound},
		{line: "control-center dead-letter requeue mail x --password-file {admin}", code: exitUsage, err: "dead-letter list"},
		{line: "control-center subscription update mail --filter objectType --password-file {admin}", code: exitUsage, err: "MEMBER=TEXT"},
		{line: "control-center subscription update mail --filter objectType=groups/* --redact members --password-file {admin}"},
		{line: "control-center subscription show mail --password-file {admin}", out: "objectType=groups/*"},
		{line: "control-center subscription delete mail --password-file {admin}", code: exitUsage, err: "--yes"},
		{line: "control-center subscription delete mail --yes --password-file {admin}", err: "deleted mail"},
		{line: "control-center subscription delete mail --yes --password-file {admin}", code: exitNotFound},
	} {
		s.run(t, v)
	}
}

// TestCLI_deadLettersGoRound: a message that a consumer buries is shown as it was published,
// requeued, printed by watch byte for byte, and the next one dropped.
func TestCLI_deadLettersGoRound(t *testing.T) {
	s := newDirectoryShell(t)
	s.run(t, verb{line: "control-center subscription create mail --topic udm:users/user --consumer-password-file {mail} {api} " +
		"--password-file {admin}"})
	s.run(t, verb{line: "control-center event publish {two.json} {api} --password-file {publisher}"})
	consumer := client.Directory{Base: s.ControlCenter.Directory, Username: "mail", Password: secret.New("pass: wörd")}
	for range 2 {
		e, _, err := consumer.Next(t.Context(), 0)
		if err != nil || e == nil {
			t.Fatal(e, err)
		}
		if err := consumer.Bury(t.Context(), e.Sequence, "the mailbox is taken"); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []verb{
		{line: "control-center dead-letter list mail {api} --password-file {admin}", out: "the mailbox is taken"},
		{line: "control-center dead-letter show mail 1 {api} --password-file {admin} -o json", out: `"n": 18446744073709551617`},
		{line: "control-center dead-letter requeue mail 1 {api} --password-file {admin}", err: "again"},
		{line: "control-center dead-letter drop mail 2 {api} --password-file {admin}", code: exitUsage, err: "--yes"},
		{line: "control-center dead-letter drop mail 2 --yes {api} --password-file {admin}", err: "dropped"},
		{line: "control-center dead-letter show mail 2 {api} --password-file {admin}", code: exitNotFound},
	} {
		s.run(t, v)
	}
	out, _ := s.run(t, verb{line: "control-center subscription watch mail --count 1 {api} --password-file {mail}"})
	var e client.DirectoryEvent
	if err := json.Unmarshal([]byte(out), &e); err != nil || strings.Count(out, "\n") != 1 {
		t.Fatalf("%v: %q", err, out)
	}
	if want := `{"objectType":"users/user","n":18446744073709551617,"f":1.0,"t":"<ü&>"}`; string(e.Body.New) != want {
		t.Errorf("printed %s, want %s", e.Body.New, want)
	}
}

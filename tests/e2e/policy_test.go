package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestCLI_policies goes the way of a policy through its verbs, with a file whose faults have a
// place.
func TestCLI_policies(t *testing.T) {
	s := newShell(t)
	policy := func(name, effect, server string) {
		s.values[name] = filepath.Join(s.values["dir"], name+".json")
		write(t, s.values[name], fmt.Sprintf(`{"name":"no_web","version":"1.0.0",
"rules":[{"effect":%q,"resource":"servers:%s","action":["create"],"condition":"user.role == 'viewer'"}]}`, effect, server))
	}
	policy("first", "Deny", "web-*")
	policy("second", "Allow", "db-*")
	policy("wrong-effect", "Maybe", "db-*")
	rule := `{"effect":"Allow","resource":"servers:web-*","action":["create"],"conditon":"user.username == 'dana'"}`
	for name, text := range map[string]string{
		"misspelt": `{"name":"typo","version":"1.0.0","rules":[` + rule + `]}`, // without the condition it would let everybody in
		"nameless": `{"name":"typo","rules":[` + strings.Replace(rule, "conditon", "condition", 1) + `]}`,
		"list":     `[]`,
	} {
		s.values[name] = filepath.Join(s.values["dir"], name+".json")
		write(t, s.values[name], text)
	}
	for _, v := range []verb{
		{line: "control-center policy create {wrong-effect}", code: exitUsage, err: "wrong-effect.json:2:"},
		{line: "control-center policy create {misspelt}", code: exitUsage, err: "misspelt.json:1:119: /rules/0/conditon: is not a member"},
		{line: "control-center policy check {misspelt}", code: exitUsage, err: "/rules/0/conditon: is not a member"},
		{line: "control-center policy import {misspelt}", code: exitUsage, err: "/rules/0/conditon: is not a member"},
		{line: "control-center policy check {nameless}", code: exitUsage, err: "/version"},
		{line: "control-center policy create {nameless}", code: exitUsage, err: "/version"},
		{line: "control-center policy check {list}", code: exitUsage, err: "it must be an object"},
		{line: "control-center policy check {dir}/none.json", code: exitUsage, err: "no such file"},
		{line: "control-center policy create {first}", err: "created no_web"},
		{line: "control-center policy update no_web --file {misspelt}", code: exitUsage, err: "/rules/0/conditon"},
		{line: "control-center policy create {first}", code: exitConflict, err: "another policy has this name"},
		{line: "control-center policy create {first}", as: "viewer", code: exitDenied},
		{line: "control-center policy list", out: "no_web"},
		{line: "control-center policy show no_web", out: "servers:web-*"},
		{line: "control-center policy check {second} --replaces no_web --rehearse", out: "would have denied"},
		{line: "control-center policy update no_web --file {second}", err: "updated no_web"},
		{line: "control-center policy diff no_web", out: "servers:db-*"},
		{line: "control-center policy versions no_web", out: "policy.update"},
		{line: "control-center policy explain create servers:db-1 --user vera", out: "allowed"},
		{line: "control-center policy explain create servers:web-1 --user vera", out: "subject: is for role developer; this is"},
		{line: "control-center policy explain creat servers:web-1 --user vera", code: exitUsage, err: "there is: create,"},
		{line: "control-center policy explain create server:web-1 --user vera", code: exitUsage, err: "there is no resource type"},
		{line: "control-center policy explain create servers:web-1", code: exitUsage, err: "--user or --role"},
		{line: "control-center policy export {dir}/exported", err: "wrote 2 policies"},
		{line: "control-center policy import {dir}/exported", out: "unchanged"},
		{line: "control-center policy import {first} --dry-run", out: "servers:web-*"},
		{line: "control-center policy revert no_web 1", err: "revision 3 now"},
		{line: "control-center policy revert no_web 9", code: exitNotFound, err: "policy versions no_web"},
		{line: "control-center policy delete no_web --yes", err: "brings it back"},
		{line: "control-center policy show no_web", code: exitNotFound, err: "policy list"},
		{line: "control-center policy reset --data {dir}/control-center --yes", code: exitConflict, err: "stop that process"},
	} {
		s.run(t, v)
	}
}

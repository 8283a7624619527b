package app

import (
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/cli/clitest"
)

// TestVerbs_helpWithoutAnExample walks all verbs.
func TestVerbs_helpWithoutAnExample(t *testing.T) {
	t.Parallel()
	clitest.Examples(t, Root())
}

// TestVerbs_destroyWithoutAskingWhereNobodyCanBeAsked walks all verbs: one that destroys what
// cannot be had back needs --yes where there is no terminal.
func TestVerbs_destroyWithoutAskingWhereNobodyCanBeAsked(t *testing.T) {
	t.Parallel()
	clitest.Destructive(t, Root(), map[string]bool{
		"user create": false, "user update": false, "user enrol-totp": false, "key rotate": false,
		"user delete": true, "key remove": true,
		"service-account create": false, "service-account update": false, "service-account delete": true,
		"token create": false, "token rotate": false, "token revoke": true,
		"policy create": false, "policy update": false, "policy revert": false, "policy delete": true,
		"webhook create": false, "webhook update": false, "webhook pause": false, "webhook resume": false, "webhook test": false,
		"webhook redeliver":   false,
		"webhook rotate":      false, // the secret before stays valid for a day
		"webhook delete":      true,
		"subscription create": false, "subscription update": false, "subscription rewind": false, "subscription delete": true,
		"event publish": false, "dead-letter requeue": false, "dead-letter drop": true, "prefill restart": false,
	}, nil)
}

// TestUserList_aRoleThatThereIsNotIsRefused: the command line knows the very roles that the service
// has.
func TestUserList_aRoleThatThereIsNotIsRefused(t *testing.T) {
	t.Parallel()
	want := "--role is one of " + strings.Join(user.Roles(), ", ") + ", not \"king\""
	for _, verb := range [][]string{{"user", "list"}, {"user", "create", "dana"}, {"user", "update", "dana"}} {
		if code, out, errs := run(nil, append(verb, "--role", "king")...); code != cli.ExitUsage || out != "" ||
			!strings.Contains(errs, want) {
			t.Errorf("%v ends with %d: %s%s; want %s", verb, code, out, errs, want)
		}
	}
}

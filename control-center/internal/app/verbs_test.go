package app

import (
	"testing"

	"github.com/provisioning-platform/platform/shared/cli/clitest"
)

// TestVerbs_destroyWithoutAskingWhereNobodyCanBeAsked walks all verbs: one that destroys what cannot be had
// back needs --yes where there is no terminal.
func TestVerbs_destroyWithoutAskingWhereNobodyCanBeAsked(t *testing.T) {
	t.Parallel()
	clitest.Destructive(t, Root(), map[string]bool{
		"user create": false, "user update": false, "user enrol-totp": false, "key rotate": false,
		"user delete": true, "key remove": true,
	}, nil)
}

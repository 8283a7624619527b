package app

import (
	"testing"

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
		"batch submit": false, "batch adopt": false, "checkpoint create": false,
		"workflow servers": false, "workflow taskserv": false, "workflow cluster": false,
		"batch cancel": false, "task cancel": false, // what is done stays done, and batch cancel names the way back
		"checkpoint delete": true, "rollback execute": true,
		"checkpoint restore": true, "rollback reconcile": false, // it takes a checkpoint before; what a reconcile finds comes back
		"webhook create": false, "webhook update": false, "webhook pause": false, "webhook resume": false, "webhook test": false,
		"webhook redeliver": false,
		"webhook rotate":    false, // the secret before stays valid for a day
		"webhook delete":    true,
	}, map[string][]string{"rollback execute": {"--operation", "one"}})
}

package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/client"
)

// TestAuditTable_namesPeopleAndHidesWitnessing: a list full of ids and of the services' own rows is
// not read by anybody.
func TestAuditTable_namesPeopleAndHidesWitnessing(t *testing.T) {
	t.Parallel()
	rows := []client.AuditRow{
		{UserID: "0199", Action: "user.create", Details: json.RawMessage(`{"username":"dana"}`)},
		{UserID: "service:orchestrator", Action: "audit.witness"},
		{UserID: "service:orchestrator", Action: "task.attempt", Details: json.RawMessage(`{}`)},
	}
	table, hidden := auditTable(rows, false)
	if hidden != 1 || len(table.Rows) != 2 || table.Rows[0][1] != "dana" || table.Rows[1][1] != "service:orchestrator" {
		t.Errorf("%d hidden of\n%v", hidden, table.Rows)
	}
	table, hidden = auditTable(rows, true)
	if hidden != 0 || len(table.Rows) != 3 || !strings.Contains(strings.Join(table.Rows[1], " "), "audit.witness") {
		t.Errorf("with all: %d hidden of\n%v", hidden, table.Rows)
	}
}

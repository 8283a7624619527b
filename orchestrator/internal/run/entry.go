package run

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
)

// Origin is the name of this service in its audit entries.
const Origin = "orchestrator"

// Entry returns the audit entry of an act, with the origin Origin when the context names none.
func Entry(ctx context.Context, act audit.EntryDraft, now time.Time) audit.Entry {
	entry := act.Entry(ctx, now)
	if entry.Origin == "" {
		entry.Origin = Origin
	}
	return entry
}

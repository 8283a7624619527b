package auditlog_test

import (
	"context"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// TestOldRowsLeaveTheIndex keeps rows of the last year, of both logs, and those that say that an
// entry cannot be read.
func TestOldRowsLeaveTheIndex(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	x := fresh()
	now := time.Now().UTC()
	const months = 20
	for i := range months {
		when := now.AddDate(0, 0, -30*(months-i)).Add(time.Hour)
		if err := x.Add(ctx, "orchestrator", uint64(i), [][]byte{entry(t, i, when, nil)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Add(ctx, "control-center", 0, [][]byte{[]byte("rubbish")}); err != nil {
		t.Fatal(err)
	}
	class := auditlog.Class(x.DB, retention.KeepRule{MaxAge: 360 * 24 * time.Hour})
	s, err := class.Next(ctx, now)
	if err != nil || len(s.Batch.Writes) != months-12 || s.Pruned["audit_index"] != months-12 {
		t.Fatalf("%d rows go, %v", len(s.Batch.Writes), err)
	}
	if _, err := x.DB.Commit(ctx, s.Batch); err != nil {
		t.Fatal(err)
	}
	if s, err := class.Next(ctx, now); err != nil || !s.Empty() {
		t.Errorf("%d more rows go, %v", len(s.Batch.Writes), err)
	}
	for _, c := range []struct {
		f    auditlog.Filter
		want int
	}{{auditlog.Filter{Action: "server.create"}, 12}, {auditlog.Filter{Action: "audit.unreadable"},
		1}, {auditlog.Filter{To: now.AddDate(0, 0, -365)}, 1}} {
		if found, err := x.Search(ctx, c.f, store.Place{Limit: 100}); err != nil || len(found.Rows) != c.want {
			t.Errorf("%+v finds %d rows, %v; want %d", c.f, len(found.Rows), err, c.want)
		}
	}
	page, err := x.DB.List(ctx, store.Query{Kind: auditlog.Table.Kind, Index: "action", Prefix: "server.create", Exact: true, Total: true})
	if err != nil || page.Total != 12 {
		t.Errorf("the counter says %d, %v", page.Total, err)
	}
}

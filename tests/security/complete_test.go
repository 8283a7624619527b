package security

import (
	"fmt"
	"testing"
	"time"
)

// cell is a request of the matrix that must be recorded.
type cell struct {
	op     operation
	who    string
	result string
}

// act is one row of the audit log.
type act struct {
	ID, Action, Resource, Result, Origin string
	UserID                               string `json:"user_id"`
	Timestamp                            time.Time
	Details                              struct {
		IP, Operation, Session string
		RequestID              string `json:"request_id"`
	}
}

// complete demands that each cell stands in exactly one record, which says who, in which session
// and from where, by which operation, on what, how it ended, in which service and when.
func (s *site) complete(t *testing.T, cells map[string]cell) {
	t.Helper()
	found := map[string]map[string]act{}
	for offset := 0; ; offset += 1000 {
		var rows []act
		s.send(t, "control-center", "GET", fmt.Sprintf("/audit/logs?limit=1000&offset=%d", offset), s.people["auditor"].token, nil).data(t,
			&rows)
		for _, r := range rows {
			rid := r.Details.RequestID
			if found[rid] == nil {
				found[rid] = map[string]act{}
			}
			found[rid][r.ID] = r
		}
		if len(rows) < 1000 {
			break
		}
	}
	counts := map[string]int{}
	for rid, c := range cells {
		counts[c.result]++
		if len(found[rid]) != 1 {
			t.Errorf("%s as %s: %d records, want one: %v", c.op, c.who, len(found[rid]), found[rid])
		}
		for _, r := range found[rid] {
			d := r.Details
			if r.UserID == "" || r.Action == "" || r.Resource == "" || r.Result != c.result || r.Origin != c.op.service ||
				time.Since(r.Timestamp) > time.Hour ||
				d.IP != "127.0.0.1" || d.Operation != c.op.id || d.Session == "" && c.who != "service" {
				t.Errorf("%s as %s: the record is not complete: %+v", c.op, c.who, r)
			}
		}
	}
	if counts["success"] < 30 || counts["denied"] < 80 {
		t.Errorf("recorded cells: %v", counts)
	}
}

package auditlog

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Row is one act as the index shows it. Fields stand in the order of their JSON names.
type Row struct {
	Action    string          `json:"action"`
	Details   json.RawMessage `json:"details"`
	ID        string          `json:"id"`    // of the entry; of the intent when there are two
	Index     uint64          `json:"index"` // leaf index in the origin's log
	LeafHash  string          `json:"leaf_hash"`
	OpID      string          `json:"op_id,omitempty"`
	Origin    string          `json:"origin"`
	Outcome   *uint64         `json:"outcome,omitempty"` // leaf index of the outcome's entry
	Resource  string          `json:"resource"`
	Result    string          `json:"result"`
	Timestamp time.Time       `json:"timestamp"`
	UserID    string          `json:"user_id"`
}

// indexValue is the longest index value; longer ones are cut and the rows compared in full.
const indexValue = 200

// cut returns s as an index takes it, whatever somebody wrote into a request: short, and U+0000 shown as U+FFFD.
func cut(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= indexValue {
		return s
	}
	end := indexValue
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// Table maps Row to its documents. They are ordered by id, and an entry's id by its time.
var Table = store.Table[Row]{
	Kind: "audit_row",
	ID:   func(r Row) string { return r.ID },
	Index: func(r Row) []store.IndexKey {
		keys := []store.IndexKey{{Name: "action", Value: cut(r.Action)}, {Name: "resource", Value: cut(r.Resource)}, {Name: "user_id", Value: cut(r.UserID)}}
		if r.OpID != "" {
			keys = append(keys, store.IndexKey{Name: "op", Value: cut(r.Origin + " " + r.OpID)})
		}
		return keys
	},
}

// Kinds declares the documents of this package.
func Kinds() []store.Kind {
	counted := []string{"action", "resource", "user_id"}
	return []store.Kind{{Name: Table.Kind, Indexes: append([]string{"op"}, counted...), Counted: counted}}
}

// Index is the index. Its writes are no acts: they follow from entries, so they have none of their own.
type Index struct{ DB store.DB }

// Follower is the name of the follower that feeds the index from the own log.
const Follower = "audit-index"

// The bounds of Await.
const (
	awaitLook = 3 * time.Millisecond
	awaitMost = time.Second
)

// Await returns when the own entries committed before the call are in the index, so that whoever did
// something finds it; or after a second, with what is there.
func (x *Index) Await(ctx context.Context) error {
	head, err := x.DB.Read(ctx, audit.Stream, store.Latest, 0)
	if err != nil {
		return err
	}
	look, most := time.NewTicker(awaitLook), time.NewTimer(awaitMost)
	defer look.Stop()
	defer most.Stop()
	for {
		row, err := feed.Cursors.Get(ctx, x.DB, Follower)
		if err != nil || row.Value.Seq >= head.Head {
			return err
		}
		select {
		case <-look.C:
		case <-most.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// Add takes entries of the log called origin in, the first of which has leaf index first. An entry that
// cannot be read becomes a row that says so: the index never stops at one.
func (x *Index) Add(ctx context.Context, origin string, first uint64, entries [][]byte) error {
	_, err := store.Update(ctx, x.DB, func(tx *store.Tx) error {
		intents := map[string]Row{} // of this batch, by operation id
		for i, body := range entries {
			r, phase := rowOf(origin, first+uint64(i), body)
			if phase == audit.Outcome {
				joined, err := x.join(ctx, r, intents)
				if err != nil {
					return err
				}
				r = joined
			}
			old, err := Table.Load(tx, r.ID)
			if err != nil {
				return err
			}
			if old.Rev != 0 && old.Value.Origin != origin {
				return fault.New(fault.Conflict, "audit.foreign_row", "an entry of %s carries the id of an entry of %s", origin, old.Value.Origin)
			}
			if phase == audit.Intent {
				if old.Rev != 0 && old.Value.Outcome != nil {
					r = old.Value // taken in again: its outcome is known already
				}
				intents[r.OpID] = r
			}
			if err := Table.Save(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// join returns the row of the intent that r is the outcome of, completed; r itself when there is none.
func (x *Index) join(ctx context.Context, r Row, intents map[string]Row) (Row, error) {
	intent, ok := intents[r.OpID]
	if !ok {
		found, _, err := Table.List(ctx, x.DB, store.Query{Index: "op", Prefix: cut(r.Origin + " " + r.OpID), Exact: true, Limit: 1})
		if err != nil {
			return r, err
		}
		if len(found) == 0 {
			return r, nil
		}
		intent = found[0].Value
	}
	at := r.Index
	intent.Outcome, intent.Result = &at, r.Result
	if string(r.Details) != "{}" {
		intent.Details = r.Details
	}
	return intent, nil
}

func rowOf(origin string, index uint64, body []byte) (Row, audit.Phase) {
	r := Row{Details: json.RawMessage("{}"), Index: index, LeafHash: audit.LeafHash(body), Origin: origin}
	var e struct {
		audit.Entry
		Details json.RawMessage `json:"details"`
	}
	if err := json.Unmarshal(body, &e); err != nil || e.ID == "" || len(e.ID) > indexValue || strings.Contains(e.ID, "\x00") {
		r.ID = "00000000-0000" + id.Derived(origin, strconv.FormatUint(index, 10))[13:] // below all others
		r.Action, r.Resource, r.Result, r.Timestamp = "audit.unreadable", "logs/"+origin, audit.Unknown, time.Unix(0, 0).UTC()
		return r, audit.Event
	}
	r.Action, r.ID, r.OpID, r.Resource, r.Result = e.Action, e.ID, e.OpID, e.Resource, e.Result
	r.Timestamp, r.UserID = e.Time.UTC(), e.Actor.Sub
	r.Details = details(e.Entry, e.Details)
	if e.Phase == audit.Intent {
		r.Result = "pending"
	}
	return r, e.Phase
}

// details returns what the entry says beyond the members of a row.
func details(e audit.Entry, own json.RawMessage) json.RawMessage {
	m := map[string]any{}
	if len(own) > 0 {
		if err := json.Unmarshal(own, &m); err != nil || m == nil {
			m = map[string]any{"unreadable": true}
		}
	}
	for name, v := range map[string]string{"username": e.Actor.Username, "ip": e.Actor.IP, "session": e.Actor.SID, "request_id": e.RequestID, "code": e.Code, "operation": e.Op} {
		if _, taken := m[name]; !taken && v != "" {
			m[name] = v
		}
	}
	if e.Decision != nil {
		m["decision"] = e.Decision
	}
	body, err := store.Canonical(m)
	if err != nil {
		return json.RawMessage("{}")
	}
	return body
}

package auditlog

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/provisioning-platform/platform/shared/audit"
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
			keys = append(keys, store.IndexKey{Name: "op", Value: opOf(r)})
		}
		return keys
	},
}

// write is Table.Write with the encoding written by hand, for there are two rows a task. Details with an escape in a
// name need not be in canonical order as they are.
func (r *Row) write(e store.Expect) (store.Write, error) {
	if len(r.Details) == 0 || bytes.IndexByte(r.Details, '\\') >= 0 {
		return Table.Write(*r, e)
	}
	b := make([]byte, 0, 512+len(r.Details))
	b = store.AppendString(append(b, `{"action":`...), r.Action)
	b = append(append(b, `,"details":`...), r.Details...)
	b = store.AppendString(append(b, `,"id":`...), r.ID)
	b = strconv.AppendUint(append(b, `,"index":`...), r.Index, 10)
	b = store.AppendString(append(b, `,"leaf_hash":`...), r.LeafHash)
	if r.OpID != "" {
		b = store.AppendString(append(b, `,"op_id":`...), r.OpID)
	}
	b = store.AppendString(append(b, `,"origin":`...), r.Origin)
	if r.Outcome != nil {
		b = strconv.AppendUint(append(b, `,"outcome":`...), *r.Outcome, 10)
	}
	b = store.AppendString(append(b, `,"resource":`...), r.Resource)
	b = store.AppendString(append(b, `,"result":`...), r.Result)
	b = r.Timestamp.AppendFormat(append(b, `,"timestamp":"`...), time.RFC3339Nano)
	b = store.AppendString(append(b, `","user_id":`...), r.UserID)
	return store.Write{Key: Table.Key(r.ID), Expect: e, Index: Table.Index(*r), Body: append(b, '}')}, nil
}

// Kinds declares the documents of this package.
func Kinds() []store.Kind {
	counted := []string{"action", "resource", "user_id"}
	return []store.Kind{{Name: Table.Kind, Indexes: append([]string{"op"}, counted...), Counted: counted}}
}

// Index is the index. Its writes are no acts: they follow from entries, so they have none of their own.
type Index struct {
	DB store.DB

	mu      sync.Mutex
	pending map[string]store.Row[Row] // intents that still wait for their outcome, by origin and operation id
}

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

// detail is a member of a row's details, as it is written.
type detail struct {
	name  string
	value json.RawMessage
}

// rowOf returns the row of an entry, and its phase.
func rowOf(origin string, index uint64, body []byte) (Row, audit.Phase) {
	r := Row{Index: index, LeafHash: audit.LeafHash(body), Origin: origin}
	if phase, ok := r.read(body); ok {
		return r, phase
	}
	return Row{
		Action: "audit.unreadable", Details: json.RawMessage("{}"), ID: "00000000-0000" + id.Derived(origin, strconv.FormatUint(index, 10))[13:], // below all others
		Index: index, LeafHash: r.LeafHash, Origin: origin, Resource: "logs/" + origin, Result: audit.Unknown, Timestamp: time.Unix(0, 0).UTC(),
	}, audit.Event
}

// read takes over what an entry says.
func (r *Row) read(entry []byte) (phase audit.Phase, ok bool) {
	if store.CheckCanonical(entry) != nil { // none of ours
		var err error
		if entry, err = store.Canonical(json.RawMessage(entry)); err != nil {
			return "", false
		}
	}
	var own json.RawMessage
	more := make([]detail, 0, 12)
	for name, value := range store.Members(entry) {
		ok := true
		switch name {
		case "action":
			r.Action, ok = store.Text(value)
		case "actor":
			for name, value := range store.Members(value) {
				switch name {
				case "ip", "username":
					more = append(more, detail{name, value})
				case "sid":
					more = append(more, detail{"session", value})
				case "sub":
					r.UserID, ok = store.Text(value)
				}
			}
		case "code", "decision", "request_id":
			more = append(more, detail{name, value})
		case "details":
			own = value
		case "id":
			r.ID, ok = store.Text(value)
		case "op":
			more = append(more, detail{"operation", value})
		case "op_id":
			r.OpID, ok = store.Text(value)
		case "phase":
			var s string
			s, ok = store.Text(value)
			phase = audit.Phase(s)
		case "resource":
			r.Resource, ok = store.Text(value)
		case "result":
			r.Result, ok = store.Text(value)
		case "time":
			r.Timestamp, ok = moment(value)
		}
		if !ok {
			return "", false
		}
	}
	if phase == audit.Intent {
		r.Result = "pending"
	}
	r.Details = details(own, more)
	return phase, r.ID != "" && len(r.ID) <= indexValue && !strings.Contains(r.ID, "\x00")
}

// details returns the details of an entry with what more the entry says beyond the members of a row. A name of
// its own wins, but the decision is the one of the entry.
func details(own json.RawMessage, more []detail) json.RawMessage {
	if len(own) > 0 && own[0] != '{' {
		own = json.RawMessage(`{"unreadable":true}`)
	}
	all := make([]detail, 0, 16)
	for name, value := range store.Members(own) {
		if name != "decision" || !slices.ContainsFunc(more, func(d detail) bool { return d.name == name }) {
			all = append(all, detail{name, value})
		}
	}
	for _, d := range more {
		if string(d.value) != `""` {
			all = append(all, d)
		}
	}
	slices.SortStableFunc(all, func(a, b detail) int { return strings.Compare(a.name, b.name) })
	out := append(make([]byte, 0, 512), '{')
	for i, d := range all {
		if i > 0 && d.name == all[i-1].name {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(append(out, '"'), d.name...), `":`...), d.value...)
	}
	return append(out, '}')
}

// moment reads a time; false when the value is none, or in UTC none of RFC 3339.
func moment(value json.RawMessage) (time.Time, bool) {
	s, _ := store.Text(value)
	t, err := time.Parse(time.RFC3339Nano, s)
	t = t.UTC()
	return t, err == nil && t.Year() >= 0 && t.Year() <= 9999
}

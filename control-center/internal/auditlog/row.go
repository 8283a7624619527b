// With encoding/json an entry takes 12.6 µs more to read, beside 12 µs in all (BenchmarkAdd, ADR
// 4); a task has two.

package auditlog

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Row is one act as the index has it. Fields stand in the order of their JSON names.
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

// indexValue is how many bytes an index value has at most. Longer ones are cut, and a search
// compares the rows in full.
const indexValue = 200

// cut returns s as an index takes it, whatever somebody wrote into a request: short, and U+0000
// shown as U+FFFD.
func cut(s string) string {
	if len(s) <= indexValue && strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) {
		return s
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	return strings.ToValidUTF8(s[:min(len(s), indexValue)], "") // without a part of a character at the end
}

// Table maps Row to its documents. They are ordered by id, and an entry's id by its time.
var Table = store.Table[Row]{
	Kind: "audit_row",
	ID:   func(r Row) string { return r.ID },
	Index: func(r Row) []store.IndexKey {
		keys := append(make([]store.IndexKey, 0, 4),
			store.IndexKey{Name: "action", Value: cut(r.Action)}, store.IndexKey{Name: "resource", Value: cut(r.Resource)},
			store.IndexKey{Name: "user_id", Value: cut(r.UserID)})
		if r.OpID != "" {
			keys = append(keys, store.IndexKey{Name: "op", Value: opOf(r)})
		}
		return keys
	},
}

// write is Table.Write with the encoding written by hand, in buffer, for there are two rows a task.
// Details with an escape in a name need not be in canonical order as they are.
func (r *Row) write(buf *canonical.Writer, e store.Expect) (store.Write, error) {
	if len(r.Details) == 0 || bytes.IndexByte(r.Details, '\\') >= 0 {
		return Table.Write(*r, e)
	}
	buf.Begin()
	buf.Always("action", r.Action)
	buf.JSON("details", r.Details)
	buf.Always("id", r.ID)
	buf.Number("index", int64(r.Index))
	buf.Always("leaf_hash", r.LeafHash)
	buf.Text("op_id", r.OpID)
	buf.Always("origin", r.Origin)
	if r.Outcome != nil {
		buf.Number("outcome", int64(*r.Outcome))
	}
	buf.Always("resource", r.Resource)
	buf.Always("result", r.Result)
	buf.Time("timestamp", r.Timestamp)
	buf.Always("user_id", r.UserID)
	buf.End()
	return store.NewPut(Table.Key(r.ID), e, Table.Index(*r), buf.Body()), nil
}

// Kinds declares the documents of this package.
func Kinds() []store.Kind {
	counted := []string{"action", "resource", "user_id"}
	return []store.Kind{{Name: Table.Kind, Indexes: append([]string{"op"}, counted...), Counted: counted}}
}

// Index adds rows and searches them. Its writes have no audit entry and no event, because they
// repeat entries.
type Index struct {
	DB store.DB

	mu      sync.Mutex
	pending map[operation]store.Row[Row] // under mu: intents that wait for their outcome

	buffers sync.Pool // of *canonical.Writer, for the documents of one Add
}

// operation identifies an intent and its outcome: the log and Row.OpID.
type operation struct{ origin, id string }

// followerName is the name of what feeds the index from the control-center's own log.
const followerName = "audit-index"

// Follower returns what feeds the index from the control-center's own log, the stream of db.
func (x *Index) Follower(db *feed.Hub, log *slog.Logger) *feed.Follower {
	return &feed.Follower{Name: followerName, Stream: audit.Stream, DB: db, Batch: 200, Log: log,
		Handle: func(ctx context.Context, entries []store.Entry) error {
			bodies := make([][]byte, len(entries))
			for i, e := range entries {
				bodies[i] = e.Body
			}
			return x.Add(ctx, token.ControlCenter, entries[0].Seq-1, bodies)
		}}
}

// Await looks every 3 ms, for 1 s at most.
const (
	awaitLook = 3 * time.Millisecond
	awaitMost = time.Second
)

// Await waits until the index has all entries that the control-center's own log had at the call, so
// that whoever did something finds it. It returns nil after a second too, when the index is behind.
func (x *Index) Await(ctx context.Context) error {
	head, err := x.DB.Read(ctx, audit.Stream, store.Latest, 0)
	if err != nil {
		return err
	}
	look, most := time.NewTicker(awaitLook), time.NewTimer(awaitMost)
	defer look.Stop()
	defer most.Stop()
	for {
		row, err := feed.Cursors.Get(ctx, x.DB, followerName)
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

// unreadable is the beginning of the ids of rows that stand for an entry which cannot be read. They
// come before all others in the order of ids.
const unreadable = "00000000-0000"

// rowOf returns the row of an entry and the phase of the entry. It shares texts with the row before
// where they are equal, as most are.
func rowOf(origin string, index uint64, body []byte, before *Row) (Row, audit.Phase) {
	r := Row{Index: index, Origin: origin}
	if phase, ok := r.read(body, before); ok {
		return r, phase
	}
	return Row{
		Action: "audit.unreadable", Details: json.RawMessage("{}"), ID: unreadable +
			id.Derived(origin, strconv.FormatUint(index, 10))[len(unreadable):],
		Index: index, Origin: origin, Resource: "logs/" + origin, Result: audit.Unknown, Timestamp: time.Unix(0, 0).UTC(),
	}, audit.Event
}

// read sets the members of r to what the entry says, but for LeafHash.
func (r *Row) read(entry []byte, before *Row) (phase audit.Phase, ok bool) {
	if canonical.Check(entry) != nil { // Neither service wrote it like this.
		var err error
		if entry, err = canonical.Make(json.RawMessage(entry)); err != nil {
			return "", false
		}
	}
	var own, code, decision, ip, op, request, session, username json.RawMessage
	for name, value := range canonical.Members(entry) {
		ok := true
		switch name {
		case "action":
			r.Action, ok = text(value, before.Action)
		case "actor":
			for name, value := range canonical.Members(value) {
				switch name {
				case "ip":
					ip = value
				case "sid":
					session = value
				case "sub":
					r.UserID, ok = text(value, before.UserID)
				case "username":
					username = value
				}
			}
		case "code":
			code = value
		case "decision":
			decision = value
		case "details":
			own = value
		case "id":
			r.ID, ok = text(value)
		case "op":
			op = value
		case "op_id":
			r.OpID, ok = text(value)
		case "phase":
			var s string
			s, ok = text(value, string(audit.Intent), string(audit.Outcome))
			phase = audit.Phase(s)
		case "request_id":
			request = value
		case "resource":
			r.Resource, ok = text(value)
		case "result":
			r.Result, ok = text(value, before.Result, audit.Success)
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
	r.Details = details(own, []detail{{"code", code}, {"decision", decision}, {"ip", ip}, {"operation", op}, {"request_id", request},
		{"session", session}, {"username", username}})
	return phase, r.ID != "" && len(r.ID) <= indexValue && !strings.Contains(r.ID, "\x00")
}

// text returns what canonical.Text does, without a copy when the value is one of the usual texts.
func text(value json.RawMessage, usual ...string) (string, bool) {
	if value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return canonical.Text(value)
	}
	value = value[1 : len(value)-1]
	for _, u := range usual {
		if string(value) == u {
			return u, true
		}
	}
	return string(value), true
}

// detail is a member of Row.Details in JSON. A value that is nil or "" is none.
type detail struct {
	name  string
	value json.RawMessage
}

// details returns the details of an entry together with more, what else the entry says, in the
// order of the names. A member of both has the value in own, but the decision is that of the entry.
func details(own json.RawMessage, more []detail) json.RawMessage {
	if len(own) > 0 && own[0] != '{' {
		own = json.RawMessage(`{"unreadable":true}`)
	}
	more = slices.DeleteFunc(more, func(d detail) bool { return d.value == nil || string(d.value) == `""` })
	var w canonical.Writer
	w.Begin()
	for name, value := range canonical.Members(own) {
		for ; len(more) > 0 && more[0].name < name; more = more[1:] {
			w.JSON(more[0].name, more[0].value)
		}
		if len(more) > 0 && more[0].name == name {
			if name == "decision" {
				continue
			}
			more = more[1:]
		}
		w.JSON(name, value)
	}
	for _, d := range more {
		w.JSON(d.name, d.value)
	}
	w.End()
	return w.Body().Bytes()
}

// moment reads a time in UTC. It returns false for a value that is no time, or none that RFC 3339
// can write.
func moment(value json.RawMessage) (time.Time, bool) {
	s, _ := text(value)
	t, err := time.Parse(time.RFC3339Nano, s)
	t = t.UTC()
	return t, err == nil && t.Year() >= 0 && t.Year() <= 9999
}

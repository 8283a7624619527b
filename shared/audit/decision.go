package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/store"
)

// maxAsked is how many bytes the resources of a decision take in an entry. More of them lie in
// documents beside it, and the entry has their number and their digest (decision 58).
const maxAsked = 32 << 10

// askedPart is how many bytes of resources lie in one document.
const askedPart = 600 << 10

// DecisionRecord is the authorization decision an act stands on, with all that decided it
// (decisions 32 and 58): the policies of the same version give the same answer from it alone, which
// Replay shows.
type DecisionRecord struct {
	Act     *authz.Act // who asked for what; nil when it is not known, or when Of says where it stands
	Allowed bool
	Of      string // id of the entry that has the Act of the same decision
	Policy  uint64 // version of the compiled policy set
	Rule    string // id of the deciding rule, "none" when no rule matched

	action string // of the resources beside the entry that name no other
	count  int    // of them
	digest string // of them; empty when they stand in the entry
}

// NewDecision returns how an act was decided; refused is the place of the refused question, -1 when
// there is none. Of an act that was refused and has more resources than an entry takes, only the
// refused one is kept: it explains the answer, and nobody fills the store with what he may not do.
func NewDecision(a *authz.Act, d authz.Decision, refused int) *DecisionRecord {
	kept := &DecisionRecord{Act: a, Allowed: d.Allowed, Policy: d.Version, Rule: d.Rule}
	if refused < 0 {
		return kept
	}
	if list, err := askedJSON(a.Asked); err != nil || len(list) > maxAsked {
		one := *a
		one.Asked = a.Asked[refused : refused+1 : refused+1]
		kept.Act = &one
	}
	return kept
}

// Replay asks a policy set about the act again. It says false when the decision does not hold the
// act: an entry from before acts were recorded, one that refers to another entry, or one whose
// resources lie beside it (readAsked).
func (d *DecisionRecord) Replay(set *authz.Set) (authz.Decision, bool) {
	if d.Act == nil || len(d.Act.Asked) == 0 {
		return authz.Decision{}, false
	}
	again, _ := d.Act.Judge(set.Decide, 0, set.Version())
	return again, true
}

// wireDecision is the JSON of a Decision. Fields stand in the order of their JSON names.
type wireDecision struct {
	Action    string       `json:"action,omitempty"` // of all resources that name no other
	Allowed   bool         `json:"allowed"`
	Of        string       `json:"of,omitempty"`
	Policy    uint64       `json:"policy"`
	Resources []wireAsked  `json:"resources,omitempty"`
	Count     int          `json:"resources_count,omitempty"`
	Digest    string       `json:"resources_digest,omitempty"` // SHA-256 of the JSON of the resources, hex
	Rule      string       `json:"rule"`
	Subject   *wireSubject `json:"subject,omitempty"`
}

type wireAsked struct {
	Action string `json:"action,omitempty"`
	Infra  string `json:"infra,omitempty"`
	Name   string `json:"name,omitempty"`
	Type   string `json:"type"`
}

type wireSubject struct {
	ID      string      `json:"id"`
	IP      string      `json:"ip,omitempty"`
	MFA     bool        `json:"mfa"`
	Name    string      `json:"name,omitempty"`
	Roles   []string    `json:"roles,omitempty"`
	Scope   authz.Scope `json:"scope,omitempty"`
	Service bool        `json:"service,omitempty"`
	Time    string      `json:"time"`
}

// MarshalJSON returns what stands in an entry.
func (d DecisionRecord) MarshalJSON() ([]byte, error) {
	var w canonical.Writer
	w.Begin()
	err := d.members(&w)
	w.End()
	return w.Body().Bytes(), err
}

// UnmarshalJSON reads what stands in an entry.
func (d *DecisionRecord) UnmarshalJSON(b []byte) error {
	var w wireDecision
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*d = DecisionRecord{Allowed: w.Allowed, Of: w.Of, Policy: w.Policy, Rule: w.Rule, action: w.Action, count: w.Count, digest: w.Digest}
	if w.Subject == nil {
		return nil
	}
	s := w.Subject
	at, err := time.Parse(instant.Layout, s.Time)
	if err != nil {
		return err
	}
	d.Act = &authz.Act{IP: s.IP, Time: at, Subject: authz.Subject{ID: s.ID, MFA: s.MFA, Roles: s.Roles, Scope: s.Scope, Service: s.Service,
		Username: s.Name}}
	d.Act.Asked = asked(w.Action, w.Resources)
	return nil
}

func asked(action string, list []wireAsked) []authz.Asked {
	var all []authz.Asked
	for _, r := range list {
		if r.Action == "" {
			r.Action = action
		}
		all = append(all, authz.Asked{Action: r.Action, Resource: authz.Resource{Infra: r.Infra, Name: r.Name, Type: r.Type}})
	}
	return all
}

// members writes the members of what stands in an entry.
func (d *DecisionRecord) members(w *canonical.Writer) error {
	a, action, count, digest := d.Act, d.action, d.count, d.digest
	var list []byte
	if a != nil && len(a.Asked) > 0 {
		var err error
		if list, err = askedJSON(a.Asked); err != nil {
			return err
		}
		action = a.Asked[0].Action
		if len(list) > maxAsked {
			count, digest, list = len(a.Asked), id.Digest(list), nil
		}
	}
	w.Text("action", action) // whole, as are all texts of the act: a decision on a name that was cut is another decision
	w.Bool("allowed", d.Allowed)
	w.Text("of", clip(d.Of))
	w.Number("policy", int64(d.Policy))
	if list != nil {
		w.JSON("resources", list)
	}
	w.Count("resources_count", int64(count))
	w.Text("resources_digest", digest)
	w.Always("rule", clip(d.Rule))
	if a != nil {
		w.Object("subject")
		w.Always("id", a.Subject.ID)
		w.Text("ip", a.IP)
		w.Bool("mfa", a.Subject.MFA)
		w.Text("name", a.Subject.Username)
		w.Some("roles", a.Subject.Roles)
		if len(a.Subject.Scope) > 0 {
			scope, err := canonical.Make(a.Subject.Scope)
			if err != nil {
				return err
			}
			w.JSON("scope", scope)
		}
		w.Flag("service", a.Subject.Service)
		w.Instant("time", a.Time)
		w.End()
	}
	return nil
}

// askedJSON returns the JSON of the resources. It names an action where that is not the action of
// the first one.
func askedJSON(list []authz.Asked) ([]byte, error) {
	wire := make([]wireAsked, len(list))
	for i, q := range list {
		wire[i] = wireAsked{Infra: q.Infra, Name: q.Name, Type: q.Type}
		if q.Action != list[0].Action {
			wire[i].Action = q.Action
		}
	}
	return canonical.Make(wire)
}

// askedDoc is a piece of the resources that an entry has the digest of.
type askedDoc struct {
	Data []byte `json:"data"`
	ID   string `json:"id"` // "<digest>/<number>"
}

var askedDocs = store.Table[askedDoc]{Kind: "audit_asked", ID: func(d askedDoc) string { return d.ID }}

func askedID(digest string, n int) string { return fmt.Sprintf("%s/%06d", digest, n) }

// docs returns the documents with the resources of which the entry has the digest only; none for
// most decisions.
func (d *DecisionRecord) docs() (docs []askedDoc, err error) {
	if d == nil || d.Act == nil || !d.Allowed {
		return nil, nil
	}
	list, err := askedJSON(d.Act.Asked)
	if err != nil || len(list) <= maxAsked {
		return nil, err
	}
	digest := id.Digest(list)
	for part := range slices.Chunk(list, askedPart) {
		docs = append(docs, askedDoc{Data: part, ID: askedID(digest, len(docs))})
	}
	return docs, nil
}

// Keep stores what stands beside the entry of d, before the entry is committed. The same resources
// are the same documents, so it may be done twice. Update and Record do it; the engine, which
// commits by itself, calls it.
func Keep(ctx context.Context, db store.DB, d *DecisionRecord) error {
	docs, err := d.docs()
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(docs, store.MaxCommit/store.MaxBody/2) {
		if _, err := store.Update(ctx, db, func(tx *store.Tx) error {
			for _, doc := range chunk {
				if err := askedDocs.Save(tx, doc); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// Decision returns the decision in the entry with that index, complete with the resources beside
// it. The fault is NotFound when there is no such entry, or when it stands on no decision.
func (l *Log) Decision(ctx context.Context, index int64) (*DecisionRecord, error) {
	page, err := l.db.Read(ctx, Stream, uint64(max(0, index)), 1)
	if err != nil {
		return nil, err
	}
	var e Entry
	if index < 0 || len(page.Entries) == 0 || page.Entries[0].Seq != uint64(index)+1 {
		return nil, noEntry(index)
	}
	if err := json.Unmarshal(page.Entries[0].Body, &e); err != nil {
		return nil, err
	}
	if e.Decision == nil {
		return nil, fault.New(fault.NotFound, "audit.no_decision", "the audit entry with index %d stands on no decision", index)
	}
	return e.Decision, e.Decision.readAsked(ctx, l.db)
}

// readAsked completes a decision that was read from an entry with the resources that lie beside it
// in db. An error says that they are missing or damaged.
func (d *DecisionRecord) readAsked(ctx context.Context, db store.DB) error {
	if d.digest == "" || d.Act == nil {
		return nil
	}
	var list bytes.Buffer
	for n := 0; ; n++ {
		row, err := askedDocs.Get(ctx, db, askedID(d.digest, n))
		if err != nil {
			return err
		}
		if row.Rev == 0 {
			break
		}
		list.Write(row.Value.Data)
	}
	if id.Digest(list.Bytes()) != d.digest {
		return errors.New("the resources of the decision are missing or damaged")
	}
	var all []wireAsked
	if err := json.Unmarshal(list.Bytes(), &all); err != nil {
		return err
	}
	d.Act.Asked = asked(d.action, all)
	return nil
}

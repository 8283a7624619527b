package client

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Rule is one sentence of a policy.
type Rule struct {
	Effect    string   `json:"effect"`
	Resource  string   `json:"resource"`
	Action    []string `json:"action"`
	Condition string   `json:"condition,omitempty"`
}

// Policy is a policy as the API shows it.
type Policy struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Version   string    `json:"version"`
	Rules     []Rule    `json:"rules"`
	CreatedAt time.Time `json:"created_at"`
	Enabled   bool      `json:"enabled"`
	Revision  int       `json:"revision"`
	UpdatedAt time.Time `json:"updated_at"`
}

// PolicyFilter selects policies; zero values select all.
type PolicyFilter struct {
	Name    string // in any case
	Enabled *bool
}

// Policies lists policies, newest first.
func (c *Client) Policies(ctx context.Context, f PolicyFilter, p Page) (List[Policy], error) {
	q := url.Values{}
	if f.Name != "" {
		q.Set("name", f.Name)
	}
	if f.Enabled != nil {
		q.Set("enabled", strconv.FormatBool(*f.Enabled))
	}
	return list[Policy](ctx, c, "/policies", q, p)
}

func policyPath(id string) string { return "/policies/" + url.PathEscape(id) }

// Policy returns one policy.
func (c *Client) Policy(ctx context.Context, id string) (Policy, error) {
	var p Policy
	_, err := c.do(ctx, get(policyPath(id)), &p)
	return p, err
}

// PolicyDraft is a policy as people write it, member by member: the body of a creation, and of a
// file. The service judges all of it, so a misspelt member is refused and never left out.
type PolicyDraft map[string]json.RawMessage

// Set gives the draft a member; value is a text, a bool, a number or a struct of these.
func (d PolicyDraft) Set(member string, value any) {
	d[member], _ = json.Marshal(value)
}

// Name returns the name in the draft; empty when it has none, or one that is no text.
func (d PolicyDraft) Name() (name string) {
	if json.Unmarshal(d["name"], &name) != nil {
		return ""
	}
	return name
}

// CreatePolicy creates a policy and returns its id, name and version.
func (c *Client) CreatePolicy(ctx context.Context, d PolicyDraft) (Policy, error) {
	var p Policy
	_, err := c.do(ctx, post("/policies", d), &p)
	return p, err
}

// ifAt returns the header that demands a revision; none for 0.
func ifAt(revision int) map[string]string {
	if revision == 0 {
		return nil
	}
	return map[string]string{"If-Match": strconv.Quote(strconv.Itoa(revision))}
}

// UpdatePolicy changes what d has of a policy. With a revision other than 0, a policy that has
// another one is left as it is: the fault is a Conflict with code policy.changed.
func (c *Client) UpdatePolicy(ctx context.Context, id string, d PolicyDraft, revision int) error {
	_, err := c.do(ctx, call{method: http.MethodPut, path: policyPath(id), body: d, header: ifAt(revision)}, nil)
	return err
}

// DeletePolicy removes a policy; its versions stay.
func (c *Client) DeletePolicy(ctx context.Context, id string, revision int) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: policyPath(id), header: ifAt(revision)}, nil)
	return err
}

// PolicyVersion is one state that a policy had.
type PolicyVersion struct {
	Revision  int       `json:"revision"`
	Version   string    `json:"version"`
	Name      string    `json:"name"`
	Rules     []Rule    `json:"rules"`
	Enabled   bool      `json:"enabled"`
	CreatedAt time.Time `json:"created_at"`
	UserID    string    `json:"user_id"`
	Username  string    `json:"username"`
	Action    string    `json:"action"`
}

// PolicyVersions lists the states that a policy had, newest first.
func (c *Client) PolicyVersions(ctx context.Context, id string, p Page) (List[PolicyVersion], error) {
	return list[PolicyVersion](ctx, c, policyPath(id)+"/versions", url.Values{}, p)
}

// PolicyDifference is one place where two states of a policy differ.
type PolicyDifference struct {
	Pointer string          `json:"pointer"`
	Before  json.RawMessage `json:"before"`
	After   json.RawMessage `json:"after"`
}

// DiffPolicy compares two states of a policy; 0 stands for the newest one as to, and for the one
// before it as from.
func (c *Client) DiffPolicy(ctx context.Context, id string, from, to int) ([]PolicyDifference, error) {
	q := url.Values{"from": {strconv.Itoa(from)}, "to": {strconv.Itoa(to)}}
	var d []PolicyDifference
	_, err := c.do(ctx, call{method: http.MethodGet, path: policyPath(id) + "/diff", query: q}, &d)
	return d, err
}

// RevertPolicy makes a policy what it was at that revision.
func (c *Client) RevertPolicy(ctx context.Context, id string, revision int) (Policy, error) {
	var p Policy
	_, err := c.do(ctx, post(policyPath(id)+"/revert", map[string]int{"revision": revision}), &p)
	return p, err
}

// PolicyVersion returns one state that a policy had.
func (c *Client) PolicyVersion(ctx context.Context, id string, revision int) (PolicyVersion, error) {
	var v PolicyVersion
	_, err := c.do(ctx, get(policyPath(id)+"/versions/"+strconv.Itoa(revision)), &v)
	return v, err
}

// PolicyQuestion asks who may do what. User is a name or an id; Roles counts instead of its roles.
type PolicyQuestion struct {
	User     string   `json:"user,omitempty"`
	Roles    []string `json:"roles,omitempty"`
	MFA      bool     `json:"mfa,omitempty"`
	Action   string   `json:"action"`
	Resource string   `json:"resource"` // "servers:web-01"
	Infra    string   `json:"infra,omitempty"`
	IP       string   `json:"ip,omitempty"`
	Time     string   `json:"time,omitempty"`
}

// PlacedRule is a rule with its id and the name of the policy, role or service that it stands in.
type PlacedRule struct {
	ID    string `json:"id"`
	Owner string `json:"owner"`
	Rule
	Failed []struct { // of a rule that did not match
		Part string `json:"part"`
		Why  string `json:"why"`
	} `json:"failed,omitempty"`
}

// PolicyExplanation says how a question is decided.
type PolicyExplanation struct {
	Allowed bool            `json:"allowed"`
	Rule    string          `json:"rule"`
	Reason  string          `json:"reason"`
	Version uint64          `json:"policy_version"`
	Asked   json.RawMessage `json:"asked"`
	Matched []PlacedRule    `json:"matched"`
	Misses  []PlacedRule    `json:"misses"`
}

// ExplainPolicy asks which rule decides.
func (c *Client) ExplainPolicy(ctx context.Context, q PolicyQuestion) (PolicyExplanation, error) {
	var e PolicyExplanation
	_, err := c.do(ctx, post("/policies/explain", q), &e)
	return e, err
}

// Rehearse says which recorded decisions a check asks again; zero values select all.
type Rehearse struct {
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	After string `json:"after,omitempty"`
}

// PolicyCheck is what would come of a draft.
type PolicyCheck struct {
	Warnings []struct {
		Pointer string `json:"pointer"`
		Message string `json:"message"`
	} `json:"warnings"`
	Diff      []PolicyDifference `json:"diff"`
	Rehearsal *Rehearsal         `json:"rehearsal,omitempty"`
}

// Rehearsal says how recorded decisions would have been.
type Rehearsal struct {
	Rows       int               `json:"rows"`
	Decisions  int               `json:"decisions"`
	CannotTell int               `json:"cannot_tell"`
	WouldDeny  int               `json:"would_deny"`
	WouldAllow int               `json:"would_allow"`
	Changed    []ChangedDecision `json:"changed"`
	Next       string            `json:"next,omitempty"`
}

// ChangedDecision is a recorded decision that would be another one.
type ChangedDecision struct {
	ID       string    `json:"id"`
	At       time.Time `json:"timestamp"`
	UserID   string    `json:"user_id"`
	Username string    `json:"username"`
	Action   string    `json:"action"`
	Resource string    `json:"resource"`
	Recorded string    `json:"recorded_rule"`
	Allowed  bool      `json:"allowed"`
	Rule     string    `json:"rule"`
	Reason   string    `json:"reason"`
	InForce  bool      `json:"in_force"`
}

// CheckPolicy says what would come of a draft, which replaces the policy with that id or, when it
// is empty, is a new one. With r it asks recorded decisions again: one request looks at so many
// records and no more, so CheckPolicy goes on until all are looked at.
func (c *Client) CheckPolicy(ctx context.Context, id string, d PolicyDraft, r *Rehearse) (PolicyCheck, error) {
	body := maps.Clone(d)
	if id != "" {
		body.Set("id", id)
	}
	if r != nil {
		body.Set("rehearse", r)
	}
	var all PolicyCheck
	_, err := c.do(ctx, post("/policies/check", body), &all)
	for err == nil && all.Rehearsal != nil && all.Rehearsal.Next != "" {
		var more PolicyCheck
		next := *r
		next.After = all.Rehearsal.Next
		body.Set("rehearse", next)
		if _, err = c.do(ctx, post("/policies/check", body), &more); err == nil {
			all.Rehearsal.add(more.Rehearsal)
		}
	}
	return all, err
}

// add takes in what a rehearsal of older records found.
func (r *Rehearsal) add(older *Rehearsal) {
	r.Rows, r.Decisions, r.CannotTell = r.Rows+older.Rows, r.Decisions+older.Decisions, r.CannotTell+older.CannotTell
	r.WouldDeny, r.WouldAllow = r.WouldDeny+older.WouldDeny, r.WouldAllow+older.WouldAllow
	r.Changed, r.Next = append(r.Changed, older.Changed...), older.Next
}

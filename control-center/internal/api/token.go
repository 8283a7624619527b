package api

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/apitoken"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/serviceaccount"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) tokenRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/tokens", Op: "listTokens", Summary: "List the own API tokens, newest first",
			Doc:        "Those that are over are listed for 30 days. With owner, those of another account, if you may read them.",
			Permission: web.Authenticated(), Handle: web.To(a.listTokens)},
		{Method: "POST", Path: "/tokens", Op: "createToken", Summary: "Make an API token and show its text, once",
			Doc: "Needs a sign-in of the last five minutes, with a second factor if the account has one. A token does what its scope " +
				"names and its owner may do at that moment; it never counts as a second factor, and it is not taken at /auth, /mfa and " +
				"/tokens. An owner has 50 at most. A change of the password, disabling and deleting the owner revoke it.",
			Permission: web.Authenticated(), Status: 201, Audit: "token.create", ShowsSecret: true,
			Refuses: []fault.Kind{fault.NotFound}, Handle: web.To(a.createToken)},
		{Method: "GET", Path: "/tokens/:id", Op: "getToken", Summary: "Show an API token; its text is shown nowhere",
			Permission: web.Authenticated(), Handle: web.To(a.getToken)},
		{Method: "POST", Path: "/tokens/:id/rotate", Op: "rotateToken",
			Summary: "Make a successor of an API token and show its text, once; the old one stays good for a while",
			Doc:     "The successor has the name, owner and scope of the old one. It needs what making a token needs.", Status: 201,
			Permission: web.Authenticated(), Audit: "token.rotate", ShowsSecret: true, Handle: web.To(a.rotateToken)},
		{Method: "DELETE", Path: "/tokens/:id", Op: "revokeToken",
			Summary:    "Revoke an API token: at once here, within five seconds at the orchestrator",
			Permission: web.Authenticated(), Audit: "token.revoke", Handle: web.Do("Token revoked", a.revokeToken)},
	}
}

// rightView is a sentence of a scope.
type rightView struct {
	Resource string   `json:"resource" required:"true" max:"256" doc:"type:name; either may be *, and a name may hold * and ?" example:"batches:*"`
	Action   []string `json:"action" required:"true" max:"64" doc:"what may be done" example:"[\"create\",\"read\"]"`
}

// tokenView is an API token as lists show it.
type tokenView struct {
	ID        string         `json:"id" doc:"id of the token" example:"01997b1c-0000-7000-8000-000000000001"`
	Name      string         `json:"name" doc:"what it is for" example:"nightly build"`
	State     apitoken.State `json:"state" enum:"active,retiring,expired,revoked,suspended" doc:"retiring: it has a successor; suspended: it came back with a backup and is refused until it is rotated"`
	Reason    string         `json:"reason,omitempty" doc:"why it was revoked" example:"owner_disabled" rare:"true"`
	Owner     string         `json:"owner" doc:"id of the account that it acts for" example:"01997b1c-0000-7000-8000-000000000002"`
	OwnerName string         `json:"owner_name" doc:"its user name" example:"alice"`
	Scope     []rightView    `json:"scope" doc:"what it may do at most"`
	MFA       bool           `json:"mfa" doc:"it was made in a session with a second factor"`
	CreatedAt time.Time      `json:"created_at" doc:"when it was made"`
	CreatedBy string         `json:"created_by" doc:"id of the account that made it" example:"01997b1c-0000-7000-8000-000000000002"`
	ExpiresAt time.Time      `json:"expires_at" doc:"until when it is good"`
	LastUsed  *time.Time     `json:"last_used_at" doc:"when it was last used, at either service, to the minute; null when never"`
	RevokedAt *time.Time     `json:"revoked_at,omitempty" doc:"when it was revoked" rare:"true"`
	Successor string         `json:"successor,omitempty" doc:"id of the token that took its place" example:"01997b1c-0000-7000-8000-000000000003" rare:"true"`
}

func (a *API) viewToken(t apitoken.Token) tokenView {
	v := tokenView{ID: t.ID, Name: t.Name, State: t.State(a.Now()), Reason: t.Reason, Owner: t.Owner, OwnerName: t.Username, MFA: t.MFA,
		CreatedAt: t.Created, CreatedBy: t.Maker, ExpiresAt: t.Expires, LastUsed: t.LastUsed, RevokedAt: t.Ended, Successor: t.Successor}
	for _, r := range t.Scope {
		v.Scope = append(v.Scope, rightView{Resource: r.Resource, Action: r.Action})
	}
	return v
}

// tokenSecretView shows the text of a token; no other answer does.
type tokenSecretView struct {
	tokenView
	Token string `json:"token" doc:"the text, for Authorization: Bearer; it is never shown again" example:"ppt_3Kq9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYq01fEuZ"`
}

// Object returns the id of the token, for the record of an Idempotency-Key.
func (v tokenSecretView) Object() string { return v.ID }

// newToken returns the id of a token to come, which is all that the record of an Idempotency-Key
// keeps of the answer.
func newToken(ctx context.Context) string {
	v := tokenSecretView{tokenView: tokenView{ID: web.NewID(ctx)}}
	web.Answering(ctx, v)
	return v.ID
}

// tokenRight asks for the right to do something with tokens: the weaker one when they are the
// caller's own.
func tokenRight(ctx context.Context, action, name, owner string) error {
	if owner == web.CallerOf(ctx).ID() {
		action += "_own"
	}
	return web.Require(ctx, action, authz.Resource{Type: "tokens", Name: name})
}

// oneOfTokens returns the token with that id, when the caller may do action with it. Who may not do
// it with everybody's learns nothing about ids of others.
func (a *API) oneOfTokens(ctx context.Context, action, tokenID string) (apitoken.Token, error) {
	t, err := a.Tokens.Get(ctx, tokenID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return t, err
	}
	if denied := tokenRight(ctx, action, tokenID, t.Owner); denied != nil {
		return t, denied
	}
	return t, err
}

type listTokensIn struct {
	web.Paging
	Owner string `query:"owner" max:"256" doc:"id of another account whose tokens to list" example:"01997b1c-0000-7000-8000-000000000002"`
}

func (a *API) listTokens(ctx context.Context, in listTokensIn) (web.Page[tokenView], error) {
	owner := id.Canonical(in.Owner)
	if owner == "" {
		owner = web.CallerOf(ctx).ID()
	}
	if err := tokenRight(ctx, "read", "", owner); err != nil {
		return web.Page[tokenView]{}, err
	}
	w, err := a.Tokens.List(ctx, owner, in.Place())
	return web.PageOf(w, a.viewToken), err
}

type createTokenIn struct {
	Name      string       `json:"name" required:"true" max:"256" form:"free" doc:"what it is for" example:"nightly build"`
	Scope     []rightView  `json:"scope" required:"true" max:"32" doc:"what it may do at most"`
	Account   string       `json:"service_account" max:"256" doc:"id of the service account that it acts for; the caller when it is left out" example:"01997b1c-0000-7000-8000-000000000004" rare:"true"`
	ExpiresAt instant.Span `json:"expires_at" required:"true" doc:"until when it is good: ISO 8601, a date stands for its end; at most a year ahead" example:"2026-12-31"`
}

func (in createTokenIn) scope() authz.Scope {
	s := make(authz.Scope, len(in.Scope))
	for i, r := range in.Scope {
		s[i] = authz.Right{Action: r.Action, Resource: r.Resource}
	}
	return s
}

func (a *API) createToken(ctx context.Context, in createTokenIn) (tokenSecretView, error) {
	c := web.CallerOf(ctx)
	owner, username := c.ID(), c.Claims.Username
	if in.Account != "" {
		owner = id.Canonical(in.Account)
	}
	if err := tokenRight(ctx, "create", owner, owner); err != nil {
		return tokenSecretView{}, err
	}
	if owner != c.ID() {
		s, err := a.Machines.Get(ctx, owner)
		if err != nil {
			return tokenSecretView{}, err
		}
		username = s.Username()
	}
	if err := a.fresh(c.Claims); err != nil {
		return tokenSecretView{}, err
	}
	t, text, err := a.Tokens.Create(ctx, apitoken.Draft{ID: newToken(ctx), Name: in.Name, Owner: owner, Username: username, Maker: c.ID(),
		MFA: c.Claims.MFA(), Scope: in.scope(), Expires: in.ExpiresAt.Last}, maker(c, owner))
	return tokenSecretView{tokenView: a.viewToken(t), Token: text}, err
}

// errNoFactor is the answer to somebody who has a second factor and did not use it.
var errNoFactor = fault.New(fault.Unauthenticated, "auth.factor_needed",
	"this account has a second factor, and this session was begun without it; sign in with its code and retry")

// maker returns what is asked in the transaction that makes a token: that the caller's account is
// as its token says, that the session has used the factor that the account has, and that the owner
// is the caller or a service account that may act. Nobody makes a token of another person.
func maker(c *web.Caller, owner string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		if owner != c.ID() {
			if err := serviceaccount.Enabled(tx, owner); err != nil {
				return err
			}
		}
		u, err := user.Load(tx, c.ID())
		if err != nil {
			return err
		}
		if u.Rev == 0 || u.Value.AV != c.Claims.AuthVersion {
			return user.ErrOutdated
		}
		if has, err := mfa.Has(tx, c.ID()); err != nil || !has || c.Claims.MFA() {
			return err
		}
		return errNoFactor
	}
}

type oneToken struct {
	ID string `path:"id" doc:"id of the token" example:"01997b1c-0000-7000-8000-000000000001"`
}

func (a *API) getToken(ctx context.Context, in oneToken) (tokenView, error) {
	t, err := a.oneOfTokens(ctx, "read", in.ID)
	if err != nil {
		return tokenView{}, err
	}
	return a.viewToken(t), nil
}

type rotateTokenIn struct {
	ID        string        `path:"id" doc:"id of the token" example:"01997b1c-0000-7000-8000-000000000001"`
	Overlap   int           `json:"overlap_seconds" default:"86400" min:"0" max:"604800" doc:"how long the old one stays good, in seconds; 0 ends it at once"`
	ExpiresAt *instant.Span `json:"expires_at" doc:"until when the successor is good; as long as the old one was made for when it is left out" example:"2026-12-31" rare:"true"`
}

func (a *API) rotateToken(ctx context.Context, in rotateTokenIn) (tokenSecretView, error) {
	c := web.CallerOf(ctx)
	before, err := a.oneOfTokens(ctx, "rotate", in.ID)
	if err != nil {
		return tokenSecretView{}, err
	}
	if err := a.fresh(c.Claims); err != nil {
		return tokenSecretView{}, err
	}
	r := apitoken.Rotation{ID: newToken(ctx), Overlap: time.Duration(in.Overlap) * time.Second, Maker: c.ID(), MFA: c.Claims.MFA()}
	if in.ExpiresAt != nil {
		r.Expires = in.ExpiresAt.Last
	}
	t, text, err := a.Tokens.Rotate(ctx, in.ID, r, maker(c, before.Owner))
	return tokenSecretView{tokenView: a.viewToken(t), Token: text}, err
}

func (a *API) revokeToken(ctx context.Context, in oneToken) error {
	if _, err := a.oneOfTokens(ctx, "delete", in.ID); err != nil {
		return err
	}
	return a.Tokens.Revoke(ctx, in.ID)
}

package session

import (
	"context"
	"encoding/json"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// grace is how long after its use a refresh token gives the same answer again: 10 s for a client
// whose answer was lost.
const grace = 10 * time.Second

// ErrRefresh is the one answer to a refresh that is refused, whatever the reason, which only the
// audit entry says.
var ErrRefresh = fault.New(fault.Unauthenticated, "auth.refresh_refused", "this token cannot be refreshed; sign in again")

// Refresh exchanges a refresh token, or the newest unexpired access token of a session, for the
// next pair of tokens and returns it. A token that was exchanged before ends the whole session,
// because one of its two holders stole it. Each refresh is one commit with one audit entry; a
// refused one returns ErrRefresh.
func (ss *Sessions) Refresh(ctx context.Context, raw string) (Grant, error) {
	sid, jti, own := "", "", ""
	if isRefresh(raw) {
		own = hash(raw)
		row, err := refreshes.Get(ctx, ss.Changes.DB, own)
		if err != nil {
			return Grant{}, err
		}
		sid = row.Value.Session
	} else if c, err := ss.Verifier.Verify(raw, ss.Now()); err == nil && c.Expires > ss.Now().Unix() {
		sid, jti = c.SessionID, c.ID
	}
	if sid == "" {
		return Grant{}, ss.refuseUnknown(ctx)
	}
	var grant Grant
	var refused bool
	act := change.New("auth.refresh", "sessions/"+sid, nil)
	err := ss.Changes.Commit(ctx, act, func(tx *store.Tx) (err error) {
		r := rotation{Sessions: ss, tx: tx, now: ss.Now(), act: act, jti: jti, tokenHash: own}
		grant, err = r.run(sid)
		if refused = r.reason != ""; refused {
			act.Refuse(ErrRefresh.Code, r.reason)
			act.Emit(change.SessionRefreshRefused, sid, change.Data{Reason: r.reason, UserID: r.user.ID, Username: r.user.Username})
		} else {
			act.Emit(change.SessionRefreshed, sid, change.Data{UserID: r.user.ID, Username: r.user.Username})
		}
		return err
	})
	if err == nil && refused {
		err = ErrRefresh
	}
	return grant, err
}

// rotation is one refresh inside its transaction. Exactly one of jti and tokenHash is set.
type rotation struct {
	*Sessions
	tx        *store.Tx
	now       time.Time
	act       *change.Act
	jti       string    // id of the presented access token
	tokenHash string    // the hash of the presented refresh token
	reason    string    // why it is refused
	user      user.User // whose session it is, as far as it is known
}

// run returns the next pair of tokens of the session, or sets r.reason when it refuses.
func (r *rotation) run(sid string) (Grant, error) {
	row, err := sessions.Load(r.tx, sid)
	if err != nil {
		return Grant{}, err
	}
	s := row.Value
	r.user.ID = s.User
	if row.Rev == 0 || s.Ends <= r.now.Unix() || s.Idle <= r.now.Unix() {
		r.reason = "session_over"
		return Grant{}, nil
	}
	u, err := user.Load(r.tx, s.User)
	if err != nil {
		return Grant{}, err
	}
	r.user.Username = u.Value.Username
	r.act.Actor = &audit.Actor{AMR: s.AMR, IP: audit.ContextOf(r.tx.Context()).Actor.IP, SID: s.ID, Sub: s.User, Username: u.Value.Username}
	if u.Rev == 0 || !u.Value.Enabled || s.AV < u.Value.Floor {
		r.reason = "account"
		return Grant{}, nil
	}
	if s.ACR != "aal2" { // The session began before codes were demanded, or before the account had a factor.
		has, err := mfa.Has(r.tx, s.User)
		if err != nil {
			return Grant{}, err
		}
		if has || r.MFA {
			r.reason = "factor_missing"
			return Grant{}, nil
		}
	}
	current, err := refreshes.Load(r.tx, s.Refresh)
	if err != nil {
		return Grant{}, err
	}
	switch {
	case r.jti != "" && r.jti != s.Newest:
		if r.inGrace(s.Rotated) { // Two tabs refresh at once; nobody stole the token.
			r.reason = "already_refreshed"
			return Grant{}, nil
		}
		return r.reuse(s)
	case r.tokenHash != "" && r.tokenHash != s.Refresh:
		return r.repeat(s, u.Value, current)
	}
	s.Rotated = r.now.UnixMilli()
	grant, err := r.issue(r.tx, &s, u.Value, r.now)
	if err != nil {
		return Grant{}, err
	}
	if err := r.use(current.Value, s, grant); err != nil {
		return Grant{}, err
	}
	if r.jti != "" { // The presented access token ends when its successor begins, as the refresh token does.
		r.act.Revoke(token.RevokeToken(r.jti, row.Value.TokenEnds))
	}
	return grant, nil
}

// use marks the refresh token old as used and keeps the answer g sealed beside it, so that repeat
// can give it again.
func (r *rotation) use(old refresh, s Session, g Grant) error {
	answer, err := json.Marshal(g)
	if err != nil {
		return err
	}
	old.Used, old.UsedAt, old.Next = true, r.now.UnixMilli(), s.Refresh
	old.Successor = r.Sealer.Seal(refreshes.Kind, old.ID, "successor", answer)
	old.Ends = s.Ends // The document stays as long as the session, so that a second use is noticed.
	return refreshes.Save(r.tx, old)
}

// inGrace says whether since, in Unix milliseconds, lies less than grace from r.now, in either
// direction: since lies in the future when the clock was ahead and has been corrected.
func (r *rotation) inGrace(since int64) bool {
	age := r.now.UnixMilli() - since
	return age < grace.Milliseconds() && age > -grace.Milliseconds()
}

// repeat answers a refresh token that was used before: with the same successor when the first
// answer may have been lost, else with the end of the session. It replaces an access token that is
// worth nothing any more because the account or the signing keys changed meanwhile.
func (r *rotation) repeat(s Session, u user.User, current store.Row[refresh]) (Grant, error) {
	old, err := refreshes.Load(r.tx, r.tokenHash)
	if err != nil {
		return Grant{}, err
	}
	fresh := old.Rev != 0 && old.Value.Next == s.Refresh && !current.Value.Used
	if !fresh || !r.inGrace(old.Value.UsedAt) {
		return r.reuse(s)
	}
	answer, err := r.Sealer.Open(refreshes.Kind, old.Value.ID, "successor", old.Value.Successor)
	if err != nil {
		return Grant{}, err
	}
	var g Grant
	if err := json.Unmarshal(answer, &g); err != nil {
		return Grant{}, err
	}
	r.act.Details["repeated"] = true
	c, err := r.Verifier.Verify(g.Token, r.now)
	if err == nil && c.AuthVersion == u.AV && r.Changes.Revoked.Check(c) == "" {
		return g, nil
	}
	if err := r.access(&g, &s, u, r.now); err != nil {
		return Grant{}, err
	}
	return g, sessions.Save(r.tx, s)
}

// reuse ends the session s, whose refresh token was used a second time.
func (r *rotation) reuse(s Session) (Grant, error) {
	r.reason = "refresh_reuse"
	sessions.Remove(r.tx, s.ID)
	r.act.Revoke(token.RevokeSession(s.ID, s.TokenEnds))
	r.act.Emit(change.SessionRevoked, s.ID, change.Data{Reason: r.reason, UserID: r.user.ID, Username: r.user.Username})
	return Grant{}, nil
}

// refuseUnknown records the refresh of a token that belongs to no session, and returns ErrRefresh.
func (ss *Sessions) refuseUnknown(ctx context.Context) error {
	act := change.New("auth.refresh", "users/unknown", nil)
	err := ss.Changes.Commit(ctx, act, func(*store.Tx) error {
		act.Refuse(ErrRefresh.Code, "unknown_token")
		act.Emit(change.SessionRefreshRefused, "", change.Data{Reason: "unknown_token"})
		return nil
	})
	if err != nil {
		return err
	}
	return ErrRefresh
}

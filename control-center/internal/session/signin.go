package session

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/login"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// The answers to a sign-in that fails (decision 22): one for all who do not know the password, and two that
// say what is missing.
var (
	ErrSignIn   = fault.New(fault.Unauthenticated, "auth.refused", "Invalid username, password or MFA code")
	ErrNeedCode = fault.New(fault.Unauthenticated, "auth.mfa_required", "MFA code required: send it as mfa_code")

	ErrNeedFactor = fault.New(fault.Unauthenticated, "auth.mfa_not_enrolled", "MFA code required, but this account has no authenticator yet: an administrator enrols one for it (control-center user enrol-totp)")
)

// knownPlaces is how many places of successful sign-ins an account remembers.
const knownPlaces = 5

// Credentials are what somebody presents to sign in.
type Credentials struct {
	Username string
	Password string
	Code     string // empty: none given
	IP       string
}

// SignIn judges one try and, when it is granted, begins a session. Each try is one commit with one
// audit entry, whatever its end.
func (d *Sessions) SignIn(ctx context.Context, c Credentials) (Grant, error) {
	found, err := user.Named(ctx, d.Changes.DB, c.Username)
	if err != nil {
		return Grant{}, err
	}
	// A name in another spelling is nobody's, but its failures count for the account it stands for.
	exact := found.Rev != 0 && found.Value.Username == c.Username
	stored := ""
	if exact {
		stored = found.Value.Password
	}
	right, weak, err := d.Hasher.Verify(ctx, c.Password, stored)
	if err != nil {
		return Grant{}, err
	}
	better := ""
	if right && weak { // a hash with old parameters is replaced; failing to is no reason to refuse
		better, _ = d.Hasher.Hash(ctx, c.Password)
	}

	var grant Grant
	var verdict login.Decision
	act := change.New("auth.login", "users/unknown", nil)
	err = d.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		now := d.Now()
		t, err := d.collect(tx, c, cmp.Or(found.Value.ID, stranger(c.Username)), now)
		if err != nil {
			return err
		}
		t.facts.Known, t.facts.Demanded = exact && t.found, d.MFA
		t.facts.Password = right && t.user.Password == stored
		if err := d.tryCode(&t, c, now); err != nil {
			return err
		}
		verdict = login.Decide(t.facts)
		act.Actor = &audit.Actor{IP: c.IP} // who tries is not known: a refused try is no act of the account's
		if t.found {
			act.Resource, act.Details["username"] = "users/"+t.user.ID, t.user.Username
		}
		if !verdict.Granted {
			act.Refuse(ErrSignIn.Code, verdict.Reason)
			failed := change.LoginFailed
			if verdict.NeedCode { // half of a sign-in in two steps, and no denial
				act.Result, act.Code = audit.Incomplete, ErrNeedCode.Code
				failed = change.LoginIncomplete
			}
			act.Emit(failed, t.user.ID, change.Data{Reason: verdict.Reason, Username: t.user.Username})
			return t.count(tx, verdict, now)
		}
		if better != "" {
			t.user.Password = better
		}
		grant, err = d.begin(tx, &t, verdict, now, act)
		return err
	})
	switch {
	case err != nil:
		return Grant{}, err
	case verdict.NeedCode:
		return Grant{}, ErrNeedCode
	case verdict.NeedFactor:
		return Grant{}, ErrNeedFactor
	case !verdict.Granted:
		return Grant{}, ErrSignIn
	}
	return grant, nil
}

// try is what one transaction knows about a try.
type attempt struct {
	facts    login.Facts
	found    bool
	user     user.User
	factor   mfa.Factor
	spent    mfa.Factor // the factor after the code was looked at
	attempts attempts
	place    string
}

// stranger returns the id under which tries of a name that nobody has are looked up and written, so
// that they cost the store what those of an account do. There are 256, so that many at once do not
// wait for each other, and no more, so that strangers fill nothing.
func stranger(name string) string {
	return fmt.Sprintf("00000000-0000-7000-8000-0000000001%02x", sha256.Sum256([]byte(user.Fold(name)))[0])
}

// collect loads what the store knows about the account a name stands for, or about a stranger.
func (d *Sessions) collect(tx *store.Tx, c Credentials, userID string, now time.Time) (attempt, error) {
	t := attempt{}
	u, err := user.Load(tx, userID)
	if err != nil {
		return t, err
	}
	f, err := mfa.Table.Load(tx, userID)
	if err != nil {
		return t, err
	}
	a, err := counts.Load(tx, userID)
	if err != nil {
		return t, err
	}
	t.found, t.user, t.factor, t.attempts = u.Rev != 0, u.Value, f.Value, a.Value
	t.spent = t.factor
	t.attempts.ID = userID
	t.place = t.attempts.place(c.IP)
	t.facts.Enabled = t.user.Enabled
	t.facts.Blocked = t.attempts.Places[t.place].Blocked(now)
	t.facts.Factor = t.factor.Active
	t.facts.CodeGiven = c.Code != ""
	return t, nil
}

// tryCode looks at the code: against the account's factor when everything else is right, else against
// the dummy, so that both cost the same.
func (d *Sessions) tryCode(t *attempt, c Credentials, now time.Time) error {
	f := t.facts
	if !f.Known || !f.Password || !f.Enabled || f.Blocked || !f.Factor || !f.CodeGiven {
		_, _, err := mfa.Check(d.Sealer, d.Dummy, c.Code, now)
		return err
	}
	spent, r, err := mfa.Check(d.Sealer, t.factor, c.Code, now)
	t.spent = spent
	t.facts.Code, t.facts.CodeBlocked, t.facts.CodeFactor = r.OK, r.Blocked, r.Method
	return err
}

// count stores what a refused try costs the account. It writes one document in every case, also one
// that says what it said before, so that no refusal is told from another by what its commit costs
// (A40).
func (t *attempt) count(tx *store.Tx, v login.Decision, now time.Time) error {
	switch {
	case v.CountCode:
		return mfa.Table.Save(tx, t.spent)
	case v.CountPass && t.found:
		t.attempts.set(t.place, t.attempts.Places[t.place].Failed(now))
	}
	return counts.Save(tx, t.attempts)
}

// place returns where tries from ip are counted: apart when the account was used from there before.
func (a attempts) place(ip string) string {
	if p := prefix(ip); slices.Contains(a.Known, p) {
		return p
	}
	return "*"
}

// set replaces the count of one place; the map may be shared with a cached document, so it is copied.
func (a *attempts) set(place string, f login.Failures) {
	places := map[string]login.Failures{}
	for k, v := range a.Places {
		places[k] = v
	}
	places[place] = f
	if f == (login.Failures{}) {
		delete(places, place)
	}
	a.Places = places
}

// begin opens a session for a granted try.
func (d *Sessions) begin(tx *store.Tx, t *attempt, v login.Decision, now time.Time, act *change.Act) (Grant, error) {
	if t.facts.Factor {
		if err := mfa.Table.Save(tx, t.spent); err != nil {
			return Grant{}, err
		}
	}
	t.attempts.set(t.place, login.Failures{})
	if p := prefix(act.Actor.IP); p != "" && (len(t.attempts.Known) == 0 || t.attempts.Known[0] != p) {
		known := slices.DeleteFunc(slices.Clone(t.attempts.Known), func(k string) bool { return k == p })
		t.attempts.Known = append([]string{p}, known...)[:min(knownPlaces, len(known)+1)]
	}
	if err := counts.Save(tx, t.attempts); err != nil {
		return Grant{}, err
	}
	at := now.UTC().Truncate(time.Millisecond)
	t.user.LastLogin = &at
	if err := user.Save(tx, t.user); err != nil {
		return Grant{}, err
	}
	s := Session{ACR: v.ACR, AMR: v.AMR, AuthTime: now.Unix(), Ends: now.Add(d.Absolute).Unix(), ID: id.New(), User: t.user.ID}
	act.Actor = &audit.Actor{AMR: v.AMR, IP: act.Actor.IP, SID: s.ID, Sub: t.user.ID, Username: t.user.Username}
	act.Emit(change.SessionCreated, s.ID, change.Data{AMR: v.AMR, UserID: t.user.ID, Username: t.user.Username})
	if left := len(t.spent.Recovery); left < len(t.factor.Recovery) {
		act.Emit(change.MFARecoveryUsed, t.user.ID, change.Data{CodesLeft: &left, Username: t.user.Username})
	}
	return d.issue(tx, &s, t.user, now)
}

// prefix returns the network an address belongs to, as far as one owner usually keeps it.
func prefix(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	a = a.Unmap().WithZone("")
	bits := 24
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

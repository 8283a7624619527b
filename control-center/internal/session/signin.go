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

// The answers to a sign-in attempt that is refused (decision 22): one for everybody who does not
// know the password, and two that say what is missing beside the right password.
var (
	ErrSignIn   = fault.New(fault.Unauthenticated, "auth.refused", "Invalid username, password or MFA code")
	ErrNeedCode = fault.New(fault.Unauthenticated, "auth.mfa_required", "MFA code required: send it as mfa_code")

	ErrNeedFactor = fault.New(fault.Unauthenticated, "auth.mfa_not_enrolled",
		"MFA code required, but this account has no authenticator yet: an administrator enrols one for it (control-center user enrol-totp)")
)

// knownNetworks is how many networks of sign-ins an account remembers.
const knownNetworks = 5

// Credentials are what somebody presents to sign in.
type Credentials struct {
	Username string
	Password string
	Code     string // empty: none given
	IP       string
}

// SignIn decides one sign-in attempt and, when it is granted, begins a session and returns its
// tokens. Each attempt is one commit with one audit entry, whatever the decision. A refusal is
// ErrSignIn, ErrNeedCode or ErrNeedFactor.
func (ss *Sessions) SignIn(ctx context.Context, c Credentials) (Grant, error) {
	found, err := user.ByName(ctx, ss.Changes.DB, c.Username)
	if err != nil {
		return Grant{}, err
	}
	// A name in another spelling signs nobody in, but its failures count for the account it stands
	// for.
	exact := found.Rev != 0 && found.Value.Username == c.Username
	stored := ""
	if exact {
		stored = found.Value.Password
	}
	right, weak, err := ss.Hasher.Verify(ctx, c.Password, stored)
	if err != nil {
		return Grant{}, err
	}
	better := ""
	if right && weak { // A hash with old parameters is replaced; when that fails, the sign-in goes on.
		better, _ = ss.Hasher.Hash(ctx, c.Password)
	}

	var grant Grant
	var verdict login.Decision
	act := change.New("auth.login", "users/unknown", nil)
	err = ss.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		now := ss.Now()
		t, err := ss.collect(tx, c, cmp.Or(found.Value.ID, dummyID(c.Username)), now)
		if err != nil {
			return err
		}
		t.facts.Known, t.facts.Demanded = exact && t.found, ss.MFA
		t.facts.Password = right && t.user.Password == stored
		if err := ss.tryCode(&t, c, now); err != nil {
			return err
		}
		verdict = login.Decide(t.facts)
		act.Actor = &audit.Actor{IP: c.IP} // Nobody knows who attempts this, so a refused attempt is no act of the account.
		if t.found {
			act.Resource, act.Details["username"] = "users/"+t.user.ID, t.user.Username
		}
		if !verdict.Granted {
			act.Refuse(ErrSignIn.Code, verdict.Reason)
			failed := change.LoginFailed
			if verdict.NeedCode { // The first half of a sign-in in two steps is no denial.
				act.Result, act.Code = audit.Incomplete, ErrNeedCode.Code
				failed = change.LoginIncomplete
			}
			act.Emit(failed, t.user.ID, change.Data{Reason: verdict.Reason, Username: t.user.Username})
			return t.count(tx, verdict, now)
		}
		if better != "" {
			t.user.Password = better
		}
		grant, err = ss.begin(tx, &t, verdict, now, act)
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

// attempt is one sign-in attempt inside its transaction, with all that the store knows about it.
type attempt struct {
	facts    login.Facts
	found    bool
	user     user.User
	factor   mfa.Factor
	spent    mfa.Factor // factor as it is after the code was checked
	failures accountFailures
	network  string
}

// dummyID returns the id under which an attempt with a name that no account has is looked up and
// counted, so that it costs the store what one with a real name does. There are 256 of them: enough
// that simultaneous attempts seldom write one document, and few enough that nobody fills the store.
func dummyID(name string) string {
	return fmt.Sprintf("00000000-0000-7000-8000-0000000001%02x", sha256.Sum256([]byte(user.Fold(name)))[0])
}

// collect loads what the store knows about the account userID, or about the dummy in its place.
func (ss *Sessions) collect(tx *store.Tx, c Credentials, userID string, now time.Time) (attempt, error) {
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
	t.found, t.user, t.factor, t.failures = u.Rev != 0, u.Value, f.Value, a.Value
	t.spent = t.factor
	t.failures.ID = userID
	t.network = t.failures.countedFor(c.IP)
	t.facts.Enabled = t.user.Enabled
	t.facts.Blocked = t.failures.Failures[t.network].Blocked(now)
	t.facts.Factor = t.factor.Active
	t.facts.CodeGiven = c.Code != ""
	return t, nil
}

// tryCode checks the code against the factor of the account when everything else is right, else
// against ss.Dummy, so that both cost the same time.
func (ss *Sessions) tryCode(t *attempt, c Credentials, now time.Time) error {
	f := t.facts
	if !f.Known || !f.Password || !f.Enabled || f.Blocked || !f.Factor || !f.CodeGiven {
		_, _, err := mfa.Check(ss.Sealer, ss.Dummy, c.Code, now)
		return err
	}
	spent, r, err := mfa.Check(ss.Sealer, t.factor, c.Code, now)
	t.spent = spent
	t.facts.Code, t.facts.CodeBlocked, t.facts.CodeFactor = r.OK, r.Blocked, r.Method
	return err
}

// count stores the failures of the account after a refused attempt. It writes one document in every
// case, also an unchanged one, so that the cost of the commit tells no refusal from another (A40).
func (t *attempt) count(tx *store.Tx, v login.Decision, now time.Time) error {
	switch {
	case v.CountCode:
		return mfa.Table.Save(tx, t.spent)
	case v.CountPass && t.found:
		t.failures.set(t.network, t.failures.Failures[t.network].Failed(now))
	}
	return counts.Save(tx, t.failures)
}

// countedFor returns the key in a.Failures of attempts from ip: its network when the account was
// used from there before, else "*".
func (a accountFailures) countedFor(ip string) string {
	if p := networkOf(ip); slices.Contains(a.Networks, p) {
		return p
	}
	return "*"
}

// set replaces the failures from one network; a network without failures has no entry.
func (a *accountFailures) set(network string, f login.Failures) {
	if a.Failures == nil {
		a.Failures = map[string]login.Failures{}
	}
	if a.Failures[network] = f; f == (login.Failures{}) {
		delete(a.Failures, network)
	}
}

// begin begins a session for the granted attempt t and returns its tokens.
func (ss *Sessions) begin(tx *store.Tx, t *attempt, v login.Decision, now time.Time, act *change.Act) (Grant, error) {
	if t.facts.Factor {
		if err := mfa.Table.Save(tx, t.spent); err != nil {
			return Grant{}, err
		}
	}
	t.failures.set(t.network, login.Failures{})
	if p := networkOf(act.Actor.IP); p != "" && (len(t.failures.Networks) == 0 || t.failures.Networks[0] != p) {
		known := slices.DeleteFunc(slices.Clone(t.failures.Networks), func(k string) bool { return k == p })
		t.failures.Networks = append([]string{p}, known...)[:min(knownNetworks, len(known)+1)]
	}
	if err := counts.Save(tx, t.failures); err != nil {
		return Grant{}, err
	}
	at := now.UTC().Truncate(time.Millisecond)
	t.user.LastLogin = &at
	if err := user.Save(tx, t.user); err != nil {
		return Grant{}, err
	}
	s := Session{ACR: v.ACR, AMR: v.AMR, AuthTime: now.Unix(), Ends: now.Add(ss.Absolute).Unix(), ID: id.New(), User: t.user.ID}
	act.Actor = &audit.Actor{AMR: v.AMR, IP: act.Actor.IP, SID: s.ID, Sub: t.user.ID, Username: t.user.Username}
	act.Emit(change.SessionCreated, s.ID, change.Data{AMR: v.AMR, UserID: t.user.ID, Username: t.user.Username})
	if left := len(t.spent.Recovery); left < len(t.factor.Recovery) {
		act.Emit(change.MFARecoveryUsed, t.user.ID, change.Data{CodesLeft: &left, Username: t.user.Username})
	}
	return ss.issue(tx, &s, t.user, now)
}

// networkOf returns the network that one owner usually keeps an address in: 24 bits of IPv4, 64 of
// IPv6. It returns "" for a text that is no address.
func networkOf(ip string) string {
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

package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
)

func signIn(r *controltest.Rig, name, password, code string) (session.Grant, error) {
	return r.Sessions.SignIn(context.Background(), session.Credentials{Username: name, Password: password, Code: code, IP: "192.0.2.7"})
}

// entries returns all audit entries.
func entries(t *testing.T, r *controltest.Rig) []audit.Entry {
	t.Helper()
	page, err := r.DB.Read(context.Background(), audit.Stream, 0, store.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]audit.Entry, len(page.Entries))
	for i, e := range page.Entries {
		if err := json.Unmarshal(e.Body, &out[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestSignIn_firstAdministratorWithPasswordAndCode(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	if _, err := signIn(r, "admin", r.Admin.Password, ""); fault.CodeOf(err) != "auth.mfa_required" ||
		!strings.HasPrefix(err.Error(), "MFA code required") {
		t.Fatalf("without a code: %v", err)
	}
	g, err := signIn(r, "admin", r.Admin.Password, r.Code(t, r.Admin.TOTPSecret, 0))
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Verify.Verify(g.Token, r.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if c.ACR != "aal2" || !c.MFA() || c.Username != "admin" || c.Subject != g.User.ID || c.Expires != g.ExpiresAt.Unix() ||
		len(c.Audience) != 2 {
		t.Fatalf("claims %+v", c)
	}
	if g.User.LastLogin == nil || !strings.HasPrefix(g.Refresh, "rt_") {
		t.Fatalf("grant %+v", g)
	}
}

func TestSignIn_everyRefusalIsTheSameAndIsRecordedOnce(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	off := r.Account(t, "disabled")
	no := false
	if err := r.Users.Update(context.Background(), off.ID, user.Change{Enabled: &no}, controltest.Root); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, password, code string }{
		{"nobody", "whatever it may be", ""},
		{"admin", "not the password at all", ""},
		{"Admin", r.Admin.Password, r.Code(t, r.Admin.TOTPSecret, 0)},
		{" admin", r.Admin.Password, r.Code(t, r.Admin.TOTPSecret, 0)},
		{"admin@localhost", r.Admin.Password, r.Code(t, r.Admin.TOTPSecret, 0)},
		{"disabled", controltest.Password, ""},
		{"admin", r.Admin.Password, "00000"},
		{"admin", r.Admin.Password, r.Code(t, r.Admin.TOTPSecret, 2)},
		{"", "", ""},
	} {
		before := len(entries(t, r))
		_, err := signIn(r, c.name, c.password, c.code)
		if err != session.ErrSignIn { //nolint:errorlint // it must be this very fault
			t.Errorf("%q: %v", c.name, err)
		}
		all := entries(t, r)
		if last := all[len(all)-1]; len(all) != before+1 || last.Action != "auth.login" || last.Result != audit.Refused {
			t.Errorf("%q: %d new entries, last %+v", c.name, len(all)-before, last)
		}
	}
	for _, e := range entries(t, r) {
		if b, _ := e.Encode(); strings.Contains(string(b), r.Admin.Password) || strings.Contains(string(b), r.Admin.TOTPSecret) {
			t.Errorf("a secret is in entry %s", b)
		}
	}
}

func TestSignIn_codeWorksOnceInEverySpelling(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	code := r.Code(t, r.Admin.TOTPSecret, 0)
	before := r.Code(t, r.Admin.TOTPSecret, -1)
	if _, err := signIn(r, "admin", r.Admin.Password, code); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{code, before, " " + code, code + " ", code + "\t", "\u00a0" + code, "+" + code, "0" + code, code[:5],
		wide(code)} {
		if _, err := signIn(r, "admin", r.Admin.Password, again); err == nil {
			t.Errorf("%q accepted after its step was used", again)
		}
		r.Clock.Add(0)
	}
	r.Clock.Add(6 * time.Minute) // out of the window of wrong codes
	for _, steps := range []int{-2, 2} {
		if _, err := signIn(r, "admin", r.Admin.Password, r.Code(t, r.Admin.TOTPSecret, steps)); err == nil {
			t.Errorf("code %d steps away accepted", steps)
		}
	}
	if _, err := signIn(r, "admin", r.Admin.Password, r.Code(t, r.Admin.TOTPSecret, -1)); err != nil {
		t.Errorf("code of the previous step: %v", err)
	}
	if _, err := signIn(r, "admin", r.Admin.Password, r.Code(t, r.Admin.TOTPSecret, 1)); err != nil {
		t.Errorf("code of the next step: %v", err)
	}
}

// wide returns code in full-width digits.
func wide(code string) string {
	return strings.Map(func(r rune) rune { return r - '0' + '０' }, code)
}

func TestSignIn_oneCodeInFiftyRequestsAtOnce(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	code := r.Code(t, r.Admin.TOTPSecret, 0)
	var granted, refused atomic.Int32
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 50 {
		wg.Go(func() {
			<-start
			switch _, err := signIn(r, "admin", r.Admin.Password, code); {
			case err == nil:
				granted.Add(1)
			case err == session.ErrSignIn: //nolint:errorlint // see above
				refused.Add(1)
			default:
				t.Errorf("unexpected: %v", err)
			}
		})
	}
	close(start)
	wg.Wait()
	if granted.Load() != 1 || refused.Load() != 49 {
		t.Fatalf("%d granted, %d refused", granted.Load(), refused.Load())
	}
}

// TestSignIn_recoveryCodeWorksOnceAndCountsAsSecondFactor is A37.
func TestSignIn_recoveryCodeWorksOnceAndCountsAsSecondFactor(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	code := r.Admin.RecoveryCodes[3]
	if n := len(r.Admin.RecoveryCodes); n < 10 || 5*len(strings.ReplaceAll(code, "-", "")) < 80 {
		t.Errorf("%d codes like %s; want 10 of 80 bits", n, code)
	}
	stored, err := r.DB.Get(context.Background(), store.Key{Kind: mfa.Table.Kind, ID: r.File.User.ID})
	if err != nil || !stored.Exists() || strings.Contains(strings.ReplaceAll(string(stored.Body), "-", ""),
		strings.ReplaceAll(code, "-", "")) {
		t.Errorf("the stored factor holds a code in the clear, or is not there: %v", err)
	}
	g, err := signIn(r, "admin", r.Admin.Password, strings.ToUpper(code))
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := r.Verify.Verify(g.Token, r.Clock.Now()); !c.MFA() || c.AMR[1] != "rc" {
		t.Fatalf("claims %+v", c)
	}
	if _, err := signIn(r, "admin", r.Admin.Password, code); err == nil {
		t.Fatal("a recovery code worked twice")
	}
}

// TestSignIn_wrongPasswordsDelayAndEveryAliasCounts is A43 for the bucket, reduced: 10 of 30
// spellings, the address among them.
func TestSignIn_wrongPasswordsDelayAndEveryAliasCounts(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Account(t, "dana")
	for i, name := range []string{"dana", "DANA", "dana ", "d\u200bana", "ｄａｎａ", "dana@example.com", "Dana", "dAna", "\tdana", "daNa"} {
		if _, err := signIn(r, name, "wrong wrong wrong", ""); err == nil {
			t.Fatalf("attempt %d granted", i)
		}
	}
	if _, err := signIn(r, "dana", controltest.Password, ""); err == nil {
		t.Fatal("the right password worked during the pause")
	}
	r.Clock.Add(1100 * time.Millisecond)
	if _, err := signIn(r, "dana", controltest.Password, ""); err != nil {
		t.Fatalf("after the pause: %v", err)
	}
}

func TestSignIn_strangersGuessesDoNotShutTheOwnerOut(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Account(t, "dana")
	owner := session.Credentials{Username: "dana", Password: controltest.Password, IP: "198.51.100.4"}
	ctx := context.Background()
	if _, err := r.Sessions.SignIn(ctx, owner); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		_, _ = signIn(r, "dana", "wrong wrong wrong", "")
		r.Clock.Add(2 * time.Second)
	}
	if _, err := signIn(r, "dana", controltest.Password, ""); err == nil {
		t.Error("no pause for the stranger")
	}
	owner.IP = "198.51.100.77" // same network
	if _, err := r.Sessions.SignIn(ctx, owner); err != nil {
		t.Errorf("owner: %v", err)
	}
}

// TestSignIn_wrongCodesSuspendTheFactor is A35: 5 attempts in 5 minutes, 50 in a row at most.
func TestSignIn_wrongCodesSuspendTheFactor(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	wrong := func() { _, _ = signIn(r, "admin", r.Admin.Password, "abcdef") }
	for range 5 {
		wrong()
	}
	if _, err := signIn(r, "admin", r.Admin.Password, r.Code(t, r.Admin.TOTPSecret, 0)); err == nil {
		t.Fatal("a sixth attempt within five minutes was looked at")
	}
	for range 9 {
		r.Clock.Add(5*time.Minute + time.Second)
		for range 5 {
			wrong()
		}
	}
	r.Clock.Add(24 * time.Hour)
	if _, err := signIn(r, "admin", r.Admin.Password, r.Code(t, r.Admin.TOTPSecret, 0)); err == nil {
		t.Fatal("the factor lives after fifty wrong codes in a row")
	}
}

// TestSignIn_whatCountsIsInTheStore is A33, A35 and A42 for a second replica and a restart, reduced
// to one of 100: a process that has nothing in memory knows the spent code, the wrong codes and the
// pause. That a commit outlives a kill is D01.
func TestSignIn_whatCountsIsInTheStore(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := memstore.New(controltest.Schema())
	r := controltest.Over(t, db)
	r.Account(t, "dana")
	another := func(name, password, code string) error {
		d := *r.Sessions
		revoked := &revocation.Log{DB: feed.NewHub(db), State: &token.Revocations{}, Epoch: r.File.Deployment}
		d.Changes = &change.Committer{DB: revoked.DB, Revoked: revoked.State}
		if err := revoked.Load(ctx, r.Clock.Now()); err != nil {
			t.Fatal(err)
		}
		_, err := d.SignIn(ctx, session.Credentials{Username: name, Password: password, Code: code, IP: "192.0.2.7"})
		return err
	}
	code := r.Code(t, r.Admin.TOTPSecret, 0)
	if _, err := signIn(r, "admin", r.Admin.Password, code); err != nil {
		t.Fatal(err)
	}
	if another("admin", r.Admin.Password, code) == nil {
		t.Error("a spent code works at another process")
	}
	r.Clock.Add(30 * time.Second)
	if err := another("admin", r.Admin.Password, r.Code(t, r.Admin.TOTPSecret, 0)); err != nil {
		t.Errorf("the next code at another process: %v", err)
	}
	for range 10 {
		_, _ = signIn(r, "admin", r.Admin.Password, "abcdef")
		_, _ = signIn(r, "dana", "wrong wrong wrong", "")
	}
	if another("admin", r.Admin.Password, r.Code(t, r.Admin.TOTPSecret, 1)) == nil || another("dana", controltest.Password, "") == nil {
		t.Error("another process does not know of the failures")
	}
}

func TestSignIn_weakHashIsReplacedOnce(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	u := r.Account(t, "dana")
	r.Sessions.Hasher = user.NewHasher(user.Cost{Memory: 128, Time: 1})
	r.SignIn(t, "dana")
	first, err := r.Users.Get(context.Background(), u.ID)
	if err != nil || first.Password == u.Password || !strings.Contains(first.Password, "m=128,") {
		t.Fatalf("%s then %s: %v", u.Password, first.Password, err)
	}
	r.SignIn(t, "dana")
	if second, _ := r.Users.Get(context.Background(), u.ID); second.Password != first.Password {
		t.Fatal("replaced again")
	}
}

func TestSignIn_burstIsShed(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Sessions.Hasher = user.NewHasher(user.Cost{Memory: 8 * 1024, Time: 1}) // slow enough for a queue
	var busy, judged atomic.Int32
	var wg sync.WaitGroup
	for range 120 {
		wg.Go(func() {
			_, err := signIn(r, "nobody", "whatever it may be", "")
			if fault.Is(err, fault.Throttled) {
				busy.Add(1)
			} else {
				judged.Add(1)
			}
		})
	}
	wg.Wait()
	if judged.Load() < 52 || busy.Load() == 0 {
		t.Fatalf("%d judged, %d shed", judged.Load(), busy.Load())
	}
}

func TestSignOut_alsoEndsATokenFromBeforeALongLifetimeWasShortened(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	r.Account(t, "dana")
	r.Sessions.Mint.TTL = 8 * time.Hour
	long := r.SignIn(t, "dana")
	r.Sessions.Mint.TTL = time.Minute // configured and started again
	short, err := r.Sessions.Refresh(ctx, long.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Verify.Verify(short.Token, r.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Sessions.SignOut(ctx, c); err != nil {
		t.Fatal(err)
	}
	r.Clock.Add(time.Hour)
	r.Revoked.State.Expire(r.Clock.Now().Unix() + token.ForgetAfter)
	if r.Alive(long.Token) {
		t.Fatal("a token of a session that was signed out is accepted again")
	}
}

func TestSignIn_whereCodesAreDemandedNobodyComesInWithoutOne(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	dana := r.Account(t, "dana")
	before := r.SignIn(t, "dana")
	r.Sessions.MFA = true // configured and started again
	_, err := signIn(r, "dana", controltest.Password, "")
	if fault.CodeOf(err) != "auth.mfa_not_enrolled" || !fault.Is(err, fault.Unauthenticated) ||
		!strings.HasPrefix(err.Error(), "MFA code required") {
		t.Fatalf("without a factor: %v", err)
	}
	if _, err := signIn(r, "dana", "not the password at all", ""); fault.CodeOf(err) != "auth.refused" {
		t.Fatalf("who does not know the password learns %v", err)
	}
	for _, held := range []string{before.Refresh, before.Token} {
		if _, err := r.Sessions.Refresh(context.Background(), held); err == nil {
			t.Fatal("a session from before is refreshed without a code")
		}
	}
	e, err := r.Factors.EnrolFor(context.Background(), dana.ID, controltest.Root)
	if err != nil {
		t.Fatal(err)
	}
	g, err := signIn(r, "dana", controltest.Password, r.Code(t, e.Secret, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Sessions.Refresh(context.Background(), g.Refresh); err != nil {
		t.Fatal(err)
	}
}

// countingStore is a store that counts reads and keeps the shape of the last commit.
type countingStore struct {
	store.DB
	mu    sync.Mutex
	reads int    // under mu
	shape string // under mu: of the last commit
}

func (l *countingStore) Get(ctx context.Context, k store.Key) (store.Doc, error) {
	l.mu.Lock()
	l.reads++
	l.mu.Unlock()
	return l.DB.Get(ctx, k)
}

func (l *countingStore) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	puts, checks := 0, 0
	for _, w := range b.Writes {
		switch w.Action {
		case store.Put:
			puts++
		case store.Check:
			checks++
		}
	}
	l.mu.Lock()
	l.shape = fmt.Sprintf("%d puts, %d checks, %d appends", puts, checks, len(b.Appends))
	l.mu.Unlock()
	return l.DB.Commit(ctx, b)
}

// TestSignIn_everyRefusalCostsTheStoreTheSame is A40 below the clock: on a store that is far away
// each read shows in the time of the answer, so a name that nobody has is looked up and written
// like one that somebody has.
func TestSignIn_everyRefusalCostsTheStoreTheSame(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := &countingStore{DB: memstore.New(controltest.Schema())}
	r := controltest.Over(t, l)
	no := false
	r.Account(t, "dana")
	off, coded, slow := r.Account(t, "off"), r.Account(t, "coded"), r.Account(t, "slow")
	if err := r.Users.Update(ctx, off.ID, user.Change{Enabled: &no}, controltest.Root); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Factors.EnrolFor(ctx, coded.ID, controltest.Root); err != nil {
		t.Fatal(err)
	}
	attempt := func(name, password, code string) string {
		t.Helper()
		l.mu.Lock()
		l.reads = 0
		l.mu.Unlock()
		_, err := r.Sessions.SignIn(ctx, session.Credentials{Username: name, Password: password, Code: code, IP: "192.0.2.9"})
		if !fault.Is(err, fault.Unauthenticated) {
			t.Fatalf("%s: %v", name, err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		return fmt.Sprintf("%d reads, %s", l.reads, l.shape)
	}
	for range 12 {
		attempt("slow", "wrong", "")
	}
	want := attempt("dana", "wrong", "")
	for what, got := range map[string]string{
		"unknown": attempt("nobody", "wrong", ""), "unknown again": attempt("nobody", "wrong", "123456"),
		"address": attempt("dana@example.com", "wrong", ""), "unknown address": attempt("nobody@example.com", "wrong", ""),
		"another spelling": attempt("Dana", controltest.Password, ""), "disabled": attempt("off", controltest.Password, ""),
		"slowed down": attempt(slow.Username, controltest.Password, ""),
		"wrong code":  attempt("coded", controltest.Password, "000000"), "code missing": attempt("coded", controltest.Password, ""),
	} {
		if got != want {
			t.Errorf("%s: %s; a wrong password: %s", what, got, want)
		}
	}
	for i := range 600 { // they fill nothing
		attempt(fmt.Sprintf("nobody-%d", i), "wrong", "")
	}
	page, err := r.DB.List(ctx, store.Query{Kind: "login_attempts", Limit: store.MaxPage})
	if err != nil || len(page.Docs) > 256+4 {
		t.Errorf("%d documents of failures: %v", len(page.Docs), err)
	}
}

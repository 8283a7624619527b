package mfa

import (
	"crypto/rand"
	"encoding/base32"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/provisioning-platform/platform/control-center/internal/login"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/store"
)

const (
	period        = 30 // seconds of a step
	secretBytes   = 20 // 160 bits
	recoveryCodes = 10
	recoveryBytes = 10 // 80 bits
	spentSteps    = 16 // more than the 3 that are accepted at one time, before and after a correction of the clock
)

// Factor is the one-time-code factor of one user, whose id it has. Fields stand in the order of
// their JSON names.
type Factor struct {
	Active    bool               `json:"active"` // Secret is in use
	CreatedAt time.Time          `json:"created_at"`
	Failures  login.CodeFailures `json:"failures"`
	ID        string             `json:"id"`
	Pending   *Pending           `json:"pending,omitempty"` // an enrolment that waits for its first code
	Recovery  []string           `json:"recovery"`          // hashes of the recovery codes that were not used yet
	Secret    string             `json:"secret,omitempty"`  // sealed
	Spent     []int64            `json:"spent"`             // the newest steps whose code was used, at most spentSteps
}

// Pending is a secret that was shown and waits for its first good code.
type Pending struct {
	Recovery []string `json:"recovery"`
	Secret   string   `json:"secret"` // sealed
	Since    int64    `json:"since"`
}

// Table maps Factor to its documents.
var Table = store.Table[Factor]{Kind: "factor", ID: func(f Factor) string { return f.ID }}

// Kinds declares the documents of this package.
func Kinds() []store.Kind { return []store.Kind{{Name: Table.Kind}} }

// Enrolment is what the owner of a new factor is shown. Nobody can read it a second time.
type Enrolment struct {
	Secret        string // base32
	URI           string // otpauth://
	RecoveryCodes []string
}

// Generate makes a secret of 160 bits and ten recovery codes of 80 bits for an account. It returns
// what to show and what to store.
func Generate(sealer *seal.Sealer, issuer, userID, username string, now time.Time) (Enrolment, Pending, error) {
	raw := make([]byte, secretBytes)
	_, _ = rand.Read(raw)
	key, err := totp.Generate(totp.GenerateOpts{Issuer: issuer, AccountName: username, Period: period, Secret: raw, Digits: otp.DigitsSix,
		Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		return Enrolment{}, Pending{}, err
	}
	e := Enrolment{Secret: key.Secret(), URI: key.URL()}
	p := Pending{Secret: sealer.Seal(Table.Kind, userID, "secret", []byte(key.Secret())), Since: now.Unix()}
	for range recoveryCodes {
		b := make([]byte, recoveryBytes)
		_, _ = rand.Read(b)
		code := strings.ToLower(base32.StdEncoding.EncodeToString(b))
		e.RecoveryCodes = append(e.RecoveryCodes, code[:4]+"-"+code[4:8]+"-"+code[8:12]+"-"+code[12:])
		p.Recovery = append(p.Recovery, hashCode(userID, code))
	}
	return e, p, nil
}

// Activate returns the factor with the secret of p in use. spent are the steps of the codes that
// proved it; there are none when an administrator enrols it for somebody.
func (f Factor) Activate(p Pending, now time.Time, spent ...int64) Factor {
	return Factor{Active: true, CreatedAt: now.UTC().Truncate(time.Millisecond), ID: f.ID, Recovery: p.Recovery, Secret: p.Secret,
		Spent: append([]int64{}, spent...)}
}

// good says whether a code of that step may be accepted at now: each code once, and no step before
// one that was used. A used step beyond the next one stems from a clock that was ahead and has been
// corrected; it forbids only itself.
func (f Factor) good(step int64, now time.Time) bool {
	next := now.Unix()/period + 1
	for _, s := range f.Spent {
		if s == step || s > step && s <= next {
			return false
		}
	}
	return step > 0
}

// Result is what Check found.
type Result struct {
	OK      bool
	Blocked bool   // the code was not checked, after too many wrong ones
	Method  string // "otp", or "rc" for a recovery code
}

// Check compares code with the active factor f and returns f as it is after that: with the step or
// the recovery code used, or with one more failure. The caller saves it.
func Check(sealer *seal.Sealer, f Factor, code string, now time.Time) (Factor, Result, error) {
	if f.Failures.Blocked(now) {
		return f, Result{Blocked: true}, nil
	}
	if !f.Active {
		return f, Result{}, nil
	}
	if hash := hashCode(f.ID, plainCode(code)); slices.Contains(f.Recovery, hash) {
		f.Recovery = slices.DeleteFunc(slices.Clone(f.Recovery), func(h string) bool { return h == hash })
		f.Failures = login.CodeFailures{}
		return f, Result{OK: true, Method: "rc"}, nil
	}
	step, err := match(sealer, f.ID, f.Secret, code, now)
	if err != nil {
		return f, Result{}, err
	}
	if !f.good(step, now) {
		f.Failures = f.Failures.Failed(now)
		return f, Result{}, nil
	}
	f.Spent = append(slices.Clone(f.Spent[max(0, len(f.Spent)-spentSteps+1):]), step)
	f.Failures = login.CodeFailures{}
	return f, Result{OK: true, Method: "otp"}, nil
}

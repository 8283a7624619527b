package mfa

import (
	"crypto/rand"
	"encoding/base32"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/provisioning-platform/platform/control-center/internal/login"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/store"
)

const (
	period        = 30 // seconds of a step
	secretBytes   = 20 // 160 bits
	recoveryCodes = 10
	recoveryBytes = 10 // 80 bits
	spentSteps    = 16 // more than are accepted at one time, before and after a correction of the clock
)

// Factor is the one-time-code factor of one user; its id is the user's. Fields stand in the order of
// their JSON names.
type Factor struct {
	Active    bool               `json:"active"` // Secret is in use
	CreatedAt time.Time          `json:"created_at"`
	Failures  login.CodeFailures `json:"failures"`
	ID        string             `json:"id"`
	Pending   *Pending           `json:"pending,omitempty"` // an enrolment that awaits its first code
	Recovery  []string           `json:"recovery"`          // hashes of the codes that are left
	Secret    string             `json:"secret,omitempty"`  // sealed
	Spent     []int64            `json:"spent"`             // the newest steps that a code was accepted for, at most spentSteps
}

// Pending is a secret that was shown and awaits its first good code.
type Pending struct {
	Recovery []string `json:"recovery"`
	Secret   string   `json:"secret"` // sealed
	Since    int64    `json:"since"`
}

// Table maps Factor to its documents.
var Table = store.Table[Factor]{Kind: "factor", ID: func(f Factor) string { return f.ID }}

// Kinds declares the documents of this package.
func Kinds() []store.Kind { return []store.Kind{{Name: Table.Kind}} }

// Enrolment is what the owner of a new factor is shown, once.
type Enrolment struct {
	Secret        string // base32
	URI           string // otpauth://
	RecoveryCodes []string
}

// Generate makes a secret and recovery codes for an account and returns what to show and what to store.
func Generate(sealer *seal.Sealer, issuer, userID, username string, now time.Time) (Enrolment, Pending, error) {
	raw := make([]byte, secretBytes)
	_, _ = rand.Read(raw)
	key, err := totp.Generate(totp.GenerateOpts{Issuer: issuer, AccountName: username, Period: period, Secret: raw, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
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

// Activate returns the factor with its pending secret in use from now on. spent are the steps of the codes
// that proved it, none when an administrator vouches.
func (f Factor) Activate(p Pending, now time.Time, spent ...int64) Factor {
	return Factor{Active: true, CreatedAt: now.UTC().Truncate(time.Millisecond), ID: f.ID, Recovery: p.Recovery, Secret: p.Secret, Spent: append([]int64{}, spent...)}
}

// good says whether a code of step may be accepted at now: a code is good once, and steps only go forward.
// A spent step beyond the next one is of a clock that was ahead and has been corrected: it holds nothing up
// but itself.
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
	Blocked bool   // too many wrong codes; this one was not looked at
	Method  string // "otp" or "rc"
}

// Check tries code against an active factor and returns the factor as it is after that: the step or
// the recovery code spent, or the failure counted.
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

// match returns the step among the previous, this and the next one whose code it is; 0 when none.
// All three are computed whatever the first one says.
func match(sealer *seal.Sealer, userID, sealed, code string, now time.Time) (int64, error) {
	secret, err := sealer.Open(Table.Kind, userID, "secret", sealed)
	if err != nil {
		return 0, err
	}
	digits := sixDigits(code)
	if !digits {
		code = "000000" // the same work for any text
	}
	current, found := now.Unix()/period, int64(0)
	for step := current - 1; step <= current+1; step++ {
		ok, err := hotp.ValidateCustom(code, uint64(step), string(secret), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, err
		}
		if ok && digits {
			found = step
		}
	}
	return found, nil
}

// sixDigits says whether code is exactly six ASCII digits.
func sixDigits(code string) bool {
	if len(code) != 6 {
		return false
	}
	for _, c := range []byte(code) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// plainCode returns a recovery code without what people put around and between its letters.
func plainCode(code string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, code)
}

// hashCode is enough for a random code of 80 bits; the user's id keeps equal codes apart.
func hashCode(userID, code string) string {
	return id.Digest(userID + "\x00" + code)
}

package mfa

import (
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/provisioning-platform/platform/shared/seal"
)

// match returns the step whose code it is, among the one before now, that of now and the next one;
// 0 when it is none of them. It computes all three in every case, so that its time tells nothing.
func match(sealer *seal.Sealer, userID, sealed, code string, now time.Time) (int64, error) {
	secret, err := sealer.Open(Table.Kind, userID, "secret", sealed)
	if err != nil {
		return 0, err
	}
	digits := sixDigits(code)
	if !digits {
		code = "000000" // Any other text costs the same work.
	}
	current, found := now.Unix()/period, int64(0)
	for step := current - 1; step <= current+1; step++ {
		ok, err := hotp.ValidateCustom(code, uint64(step), string(secret),
			hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
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

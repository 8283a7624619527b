package login

// Facts are what session found out about one sign-in attempt.
type Facts struct {
	Known    bool // An account has exactly this name.
	Enabled  bool
	Blocked  bool // A pause after failures is in force.
	Password bool // The password is right.

	Demanded    bool // Every account needs a one-time code ([mfa] required).
	Factor      bool // The account has a one-time-code factor in use.
	CodeGiven   bool
	CodeBlocked bool   // The code was not checked, after too many wrong ones.
	Code        bool   // The code is right and was not used before.
	CodeFactor  string // "otp" or "rc", a recovery code
}

// Decision is what follows from the Facts of one sign-in attempt.
type Decision struct {
	Granted    bool
	NeedCode   bool   // The password is right and the code is missing,
	NeedFactor bool   // or the account has nothing to make a code with.
	CountPass  bool   // The attempt counts as a wrong password,
	CountCode  bool   // or as a wrong code.
	Reason     string // a word for the audit log; no answer shows it
	AMR        []string
	ACR        string
}

// Decide returns the decision on one sign-in attempt. All refusals but NeedCode and NeedFactor get
// the same answer.
func Decide(f Facts) Decision {
	switch {
	case !f.Known:
		return Decision{Reason: "unknown_user", CountPass: true}
	case f.Blocked:
		return Decision{Reason: "delayed"}
	case !f.Password:
		return Decision{Reason: "wrong_password", CountPass: true}
	case !f.Enabled:
		return Decision{Reason: "disabled"}
	case f.Demanded && !f.Factor:
		return Decision{Reason: "factor_missing", NeedFactor: true}
	case f.Factor && !f.CodeGiven:
		return Decision{Reason: "code_missing", NeedCode: true}
	case f.Factor && f.CodeBlocked:
		return Decision{Reason: "codes_suspended"}
	case f.Factor && !f.Code:
		return Decision{Reason: "wrong_code", CountCode: true}
	case f.Factor:
		return Decision{Granted: true, AMR: []string{"pwd", f.CodeFactor}, ACR: "aal2"}
	}
	return Decision{Granted: true, AMR: []string{"pwd"}, ACR: "aal1"}
}

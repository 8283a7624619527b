package login

// Facts are what was found out about one try, all of them, in any order.
type Facts struct {
	Known    bool // there is an account of exactly this name
	Enabled  bool
	Blocked  bool // a pause after failures is in force
	Password bool // the password is right

	Demanded    bool // every account needs a one-time code
	Factor      bool // the account has a one-time-code factor that is in use
	CodeGiven   bool
	CodeBlocked bool // too many wrong codes; this one was not looked at
	Code        bool // the code is right and was not used before
	CodeFactor  string
}

// Decision is what follows. Reason is for the audit log only; nothing of it is shown.
type Decision struct {
	Granted    bool
	NeedCode   bool // the one refusal that says more: password right, code missing; or
	NeedFactor bool // nothing to make the code with
	CountPass  bool // count a wrong password
	CountCode  bool // count a wrong code
	Reason     string
	AMR        []string
	ACR        string
}

// Decide returns the verdict for one try. Every refusal but NeedCode and NeedFactor is shown alike.
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

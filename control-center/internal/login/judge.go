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

// Verdict is what follows. Reason is for the audit log only; nothing of it is shown.
type Verdict struct {
	Granted    bool
	NeedCode   bool // the one refusal that says more: password right, code missing; or
	NeedFactor bool // nothing to make the code with
	CountPass  bool // count a wrong password
	CountCode  bool // count a wrong code
	Reason     string
	AMR        []string
	ACR        string
}

// Judge returns the verdict for one try. Every refusal but NeedCode and NeedFactor is shown alike.
func Judge(f Facts) Verdict {
	switch {
	case !f.Known:
		return Verdict{Reason: "unknown_user", CountPass: true}
	case f.Blocked:
		return Verdict{Reason: "delayed"}
	case !f.Password:
		return Verdict{Reason: "wrong_password", CountPass: true}
	case !f.Enabled:
		return Verdict{Reason: "disabled"}
	case f.Demanded && !f.Factor:
		return Verdict{Reason: "factor_missing", NeedFactor: true}
	case f.Factor && !f.CodeGiven:
		return Verdict{Reason: "code_missing", NeedCode: true}
	case f.Factor && f.CodeBlocked:
		return Verdict{Reason: "codes_suspended"}
	case f.Factor && !f.Code:
		return Verdict{Reason: "wrong_code", CountCode: true}
	case f.Factor:
		return Verdict{Granted: true, AMR: []string{"pwd", f.CodeFactor}, ACR: "aal2"}
	}
	return Verdict{Granted: true, AMR: []string{"pwd"}, ACR: "aal1"}
}

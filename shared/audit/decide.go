package audit

import "github.com/provisioning-platform/platform/shared/authz"

// Verdict is the answer to an act. The embedded decision is the one that counts: the last that was
// made.
type Verdict struct {
	authz.Decision
	Record  *DecisionRecord // what the audit entry of the act keeps
	Refused *authz.Asked    // the question that was refused; nil when all are allowed
}

// Decide asks the policies, through ask, about the questions of a from the one with index from on;
// those before were allowed by the policies of that version. It needs no request: web.Require and
// Route.Permission call it for what a caller does now, and package rights for what the submitter of
// a run may still do. With from 0 any version will do.
func Decide(ask func(authz.Request) authz.Decision, a *authz.Act, from int, version uint64) Verdict {
	d, refused := a.Judge(ask, from, version)
	v := Verdict{Decision: d, Record: NewDecision(a, d, refused)}
	if refused >= 0 {
		v.Refused = &a.Asked[refused]
	}
	return v
}

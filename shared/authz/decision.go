package authz

import "time"

// Subject is who asks. Roles are plain names ("admin"); the package adds the prefixes that keep
// users, roles and services apart.
type Subject struct {
	ID       string // user UUID, or the service's name when Service
	Username string
	Roles    []string
	MFA      bool // amr contains otp or a recovery code
	Service  bool
	Scope    Scope // of an API token; nil: not bounded
}

// Resource is what is asked for: Type is a plural noun ("servers"), Name may be empty ("the kind as
// such": a list, or a name not known yet).
type Resource struct {
	Type  string
	Name  string
	Infra string
}

// Request is one question.
type Request struct {
	Subject  Subject
	Action   string // a verb: "read", "create", "cancel"
	Resource Resource
	IP       string
	Time     time.Time
	Unnamed  bool // name and infra are not known yet: allowed when they could be such that it is
}

// Decision is the answer. It is data for the audit log, not only a bool.
type Decision struct {
	Allowed bool
	Rule    string // id of the deciding rule; "none" when no rule matched
	Version uint64 // of the compiled set
	Reason  string // short, safe to show to the person who was refused
}

package audit

import "time"

// Stream is the name of the audit stream in both services' stores.
const Stream = "audit"

// Phase says what an entry is about (decision 26).
type Phase string

// These are the phases. A change inside the store is one Event; an act outside is an Intent,
// committed before it, and an Outcome with the same OpID.
const (
	Event   Phase = "event"
	Intent  Phase = "intent"
	Outcome Phase = "outcome"
)

// These are the results of an entry.
const (
	Success    = "success"
	Failure    = "failure"
	Refused    = "denied"
	Incomplete = "incomplete" // a sign-in whose password was right and whose code is still missing
	Unknown    = "unknown"
)

// Actor is who did it. Fields stand in the order of their JSON names so that an entry is canonical
// as encoded.
type Actor struct {
	AMR      []string `json:"amr,omitempty"`
	IP       string   `json:"ip,omitempty"`
	JTI      string   `json:"jti,omitempty"`
	SID      string   `json:"sid,omitempty"`
	Sub      string   `json:"sub,omitempty"`      // user UUID, or "service:<name>"
	Username string   `json:"username,omitempty"` // empty when unknown
}

// Entry is one record of the log. Its bytes are produced once, by Encode, and never re-serialised;
// its place in the log is its sequence in the stream (leaf index = sequence - 1).
type Entry struct {
	Action    string          `json:"action"` // "<singular>.<verb>", e.g. "server.create"
	Actor     Actor           `json:"actor"`
	Code      string          `json:"code,omitempty"` // stable fault code when the result is not success
	Decision  *DecisionRecord `json:"decision,omitempty"`
	Details   map[string]any  `json:"details,omitempty"` // allow-listed fields only, never a secret
	ID        string          `json:"id"`
	Op        string          `json:"op,omitempty"`    // OpenAPI operation id
	OpID      string          `json:"op_id,omitempty"` // links intent and outcome (the attempt id)
	Origin    string          `json:"origin"`          // "orchestrator" or "control-center"
	Phase     Phase           `json:"phase"`
	RequestID string          `json:"request_id,omitempty"`
	Resource  string          `json:"resource"` // "<plural>/<name or id>", e.g. "servers/web-01"
	Result    string          `json:"result"`
	Time      time.Time       `json:"time"` // UTC
	V         int             `json:"v"`    // format version, 1
}

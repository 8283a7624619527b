package audit

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
)

// Stream is the name of the audit stream in both services' stores.
const Stream = "audit"

// Phase says what an entry is about (decision 26).
type Phase string

// The phases. A change inside the store is one Event; an act outside is an Intent, committed before it,
// and an Outcome with the same OpID.
const (
	Event   Phase = "event"
	Intent  Phase = "intent"
	Outcome Phase = "outcome"
)

// Results of an entry.
const (
	Success = "success"
	Failure = "failure"
	Refused = "denied"
	Unknown = "unknown"
)

// Actor is who did it. Fields stand in the order of their JSON names so that an entry is canonical as
// encoded.
type Actor struct {
	AMR      []string `json:"amr,omitempty"`
	IP       string   `json:"ip,omitempty"`
	JTI      string   `json:"jti,omitempty"`
	SID      string   `json:"sid,omitempty"`
	Sub      string   `json:"sub,omitempty"`      // user UUID, or "service:<name>"
	Username string   `json:"username,omitempty"` // empty when unknown
}

// Decision is the authorization decision an act stands on, with the inputs that decided it (decision 32).
type Decision struct {
	Allowed bool              `json:"allowed"`
	Inputs  map[string]string `json:"inputs,omitempty"`
	Policy  uint64            `json:"policy"` // version of the compiled policy set
	Rule    string            `json:"rule"`   // id of the deciding rule, "none" when no rule matched
}

// Entry is one record of the log. Its bytes are produced once, by Encode, and never re-serialised; its
// place in the log is its sequence in the stream (leaf index = sequence - 1).
type Entry struct {
	Action    string         `json:"action"` // "<singular>.<verb>", e.g. "server.create"
	Actor     Actor          `json:"actor"`
	Code      string         `json:"code,omitempty"` // stable fault code when the result is not success
	Decision  *Decision      `json:"decision,omitempty"`
	Details   map[string]any `json:"details,omitempty"` // allow-listed fields only, never a secret
	ID        string         `json:"id"`
	Op        string         `json:"op,omitempty"`    // OpenAPI operation id
	OpID      string         `json:"op_id,omitempty"` // links intent and outcome (the attempt id)
	Origin    string         `json:"origin"`          // "orchestrator" or "control-center"
	Phase     Phase          `json:"phase"`
	RequestID string         `json:"request_id,omitempty"`
	Resource  string         `json:"resource"` // "<plural>/<name or id>", e.g. "servers/web-01"
	Result    string         `json:"result"`
	Time      time.Time      `json:"time"` // UTC
	V         int            `json:"v"`    // format version, 1
}

// Scene is what web knows about a request before the handler runs; it travels in the context and is
// copied into every entry written below.
type Scene struct {
	Actor     Actor
	Decision  *Decision
	Op        string
	Origin    string
	RequestID string

	recorded bool // an entry of this request is committed; owned by the request's goroutine
}

type sceneKey struct{}

// WithScene returns a context that carries s.
func WithScene(ctx context.Context, s *Scene) context.Context {
	return context.WithValue(ctx, sceneKey{}, s)
}

// SceneOf returns the scene of ctx; an empty one when there is none (a background act).
func SceneOf(ctx context.Context) *Scene {
	if s, ok := ctx.Value(sceneKey{}).(*Scene); ok {
		return s
	}
	return &Scene{}
}

// Recorded says whether an entry of this request is committed, so that web writes the record of a
// refusal only when nobody else did.
func (s *Scene) Recorded() bool { return s.recorded }

// Act is what the code that changes something says about it; the rest of the entry comes from the scene.
type Act struct {
	Action   string
	Resource string
	Details  map[string]any
	Result   string // empty means Success
	Code     string
	Phase    Phase // empty means Event
	OpID     string
	Actor    *Actor // overrides the scene's (a login has no actor before it succeeded)
}

// Entry returns the entry of act in the scene of ctx at the given time, with a fresh id.
func (a Act) Entry(ctx context.Context, now time.Time) Entry { panic("audit helper writes this") }

// Encode returns the bytes of e, to be appended to Stream as they are: canonical JSON of at most
// store.MaxEntry bytes (details are cut to fit, and say so).
func (e Entry) Encode() ([]byte, error) { panic("audit helper writes this") }

// Update is store.Update with one audit entry in the same commit: fn changes documents and may fill in
// act; act is recorded when fn succeeds. It is the only way product code changes a store outside the engine.
func Update(ctx context.Context, db store.DB, act *Act, fn func(*store.Tx) error) (store.Receipt, error) {
	panic("audit helper writes this")
}

// Record commits an entry without a change: a refusal, a failed login.
func Record(ctx context.Context, db store.DB, act Act) error { panic("audit helper writes this") }

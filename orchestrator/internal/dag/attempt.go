package dag

import "time"

// Operation says what a node of a run does. It never changes after the submission. Fields stand in
// the order of their JSON names, so that encoding/json writes canonical JSON.
type Operation struct {
	CheckMode   bool           `json:"check_mode,omitempty"`   // the operation reports what it would do and changes nothing
	ClusterType string         `json:"cluster_type,omitempty"` // Type "cluster"
	Infra       string         `json:"infra,omitempty"`        // infra to resolve at run time
	Provider    string         `json:"provider,omitempty"`     // a provider of the configuration
	Servers     []ServerConfig `json:"servers,omitempty"`      // Type "server_batch"
	Settings    string         `json:"settings,omitempty"`     // settings file name inside the infra
	Targets     []string       `json:"targets,omitempty"`      // server names a task service goes to; empty: those of the dependencies
	Taskserv    string         `json:"taskserv,omitempty"`     // Type "taskserv"
	Taskservs   []string       `json:"taskservs,omitempty"`    // Type "taskserv_batch"
	Type        string         `json:"type"`                   // "servers", "taskserv", "cluster", "server_batch", "taskserv_batch"
	Verb        string         `json:"verb"`                   // "create", "update", "delete", "check"
	Wait        bool           `json:"wait,omitempty"`         // done only when the resource is up
}

// ServerConfig is one server of a server_batch.
type ServerConfig struct {
	Name string `json:"name"`
	Plan string `json:"plan,omitempty"`
	Zone string `json:"zone,omitempty"`
}

// Step is one unit of an operation that is done, retried and undone by itself: one server, or one
// task service on one server.
type Step struct {
	Action   string            `json:"action"` // "server.create", "server.delete", "taskserv.install", "taskserv.remove", "check"
	Name     string            `json:"name"`   // what a person calls it: "web-01", "kubernetes on web-01"
	Params   map[string]string `json:"params,omitempty"`
	Provider string            `json:"provider,omitempty"`
	Target   string            `json:"target,omitempty"` // server name for a task service
}

// AttemptKind is what an attempt is for.
type AttemptKind string

// The kinds. Resolve turns an operation into steps, Do performs a step, Undo performs its inverse,
// and Find asks whether an attempt whose outcome is unknown took effect.
const (
	Resolve AttemptKind = "resolve"
	Do      AttemptKind = "do"
	Undo    AttemptKind = "undo"
	Find    AttemptKind = "find"
)

// Attempt is one try, stored before it is made. ID is the idempotency key of this try. Tag names
// the effect and is the same for all tries of a step, so that a provider can be asked whether the
// effect exists.
type Attempt struct {
	ID        string
	Tag       string
	Kind      AttemptKind
	RunID     string
	TaskID    string
	User      string // id of the user who submitted the run
	Number    int    // 1 for the first try
	Deadline  time.Time
	Operation *Operation        // of the definition, which never changes
	Step      Step              // Do, Undo, Find
	Facts     map[string]string // Undo: what the forward step recorded
	Recreate  bool              // Undo of a deletion: make the server again (UndoPlan)
}

// Class says how an attempt ended (architecture section 6): failure is data.
type Class string

// The classes. A Transient, Throttled or Quota failure is retried by the policy of the node, a
// TimedOut one when the policy says so, an UnknownOutcome leads to a Find, the others are final.
// After Transient and TimedOut the effect may exist all the same, so a Find asks for it when
// nothing more is tried. After the others, UnknownOutcome aside, it does not exist.
const (
	OK             Class = "ok"
	Transient      Class = "transient"
	Throttled      Class = "throttled"
	Quota          Class = "quota"
	Auth           Class = "auth"
	ConflictClass  Class = "conflict"
	Permanent      Class = "permanent"
	TimedOut       Class = "timed_out"
	Stopped        Class = "cancelled"
	UnknownOutcome Class = "unknown_outcome"
	NotFoundClass  Class = "not_found" // Find only: the effect does not exist, run it again
)

// Resource is a change of the inventory that an attempt has made. The commit of the result stores
// it.
type Resource struct {
	Facts    map[string]string `json:"facts,omitempty"` // provider id, address, key file …; never a secret
	Gone     bool              `json:"gone,omitempty"`  // the resource no longer exists
	Kind     string            `json:"kind"`            // "server" or "taskserv"
	Name     string            `json:"name"`            // "web-01", "web-01/kubernetes"
	Provider string            `json:"provider"`

	// Origin is set by the run, and is not a part of what effects record.
	Origin ResourceOrigin `json:"-"`
}

// ResourceOrigin says which task made a resource.
type ResourceOrigin struct {
	Task   string // id
	Infra  string // that its operation works on; empty for operations of a batch
	Waited bool   // the task waited until the resource was up
}

// Result is what an executor returns for an attempt.
type Result struct {
	Class      Class
	Steps      []Step            // Resolve: the steps to do
	Facts      map[string]string // Do: what the inverse needs; stored with the step
	Resources  []Resource
	Output     string        // for people, at most 4 KiB a step
	Error      string        // what, why, what to do next; empty when OK
	RetryAfter time.Duration // what the provider asked for; 0 when it did not
}

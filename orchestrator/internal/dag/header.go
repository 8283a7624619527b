package dag

import "time"

// Grant says who submitted a run and which decision allowed it (decision 32). Each attempt and its
// audit entries carry it.
type Grant struct {
	AuthVersion int64     `json:"av,omitempty"`       // authorization version of the account as it was then
	Decision    string    `json:"decision,omitempty"` // id of the audit entry of the submission
	IP          string    `json:"ip,omitempty"`       // of the request, as policies see it; so are MFA and Time
	MFA         bool      `json:"mfa,omitempty"`
	Plan        string    `json:"plan,omitempty"`
	Policy      uint64    `json:"policy,omitempty"` // version of the policy set
	Roles       []string  `json:"roles,omitempty"`  // of the account as they were then
	Rule        string    `json:"rule,omitempty"`   // the deciding rule
	Scope       []string  `json:"scope,omitempty"`  // of the API token, as authz.Right.String writes each right
	Sub         string    `json:"sub,omitempty"`    // user id
	Time        time.Time `json:"time"`
	Token       string    `json:"token,omitempty"` // id of the API token of the submission; empty: a person's session
	Username    string    `json:"username,omitempty"`
}

// Counts has the number of tasks of a run by status.
type Counts struct {
	Cancelled int `json:"cancelled"`
	Completed int `json:"completed"`
	Failed    int `json:"failed"`
	Pending   int `json:"pending"`
	Running   int `json:"running"`
}

// Total returns the number of tasks.
func (c Counts) Total() int { return c.Cancelled + c.Completed + c.Failed + c.Pending + c.Running }

func (c *Counts) of(s Status) *int {
	switch s {
	case StatusPending:
		return &c.Pending
	case StatusCompleted:
		return &c.Completed
	case StatusFailed:
		return &c.Failed
	case StatusCancelled:
		return &c.Cancelled
	}
	return &c.Running
}

// Header is the stored document of a run. Each commit of the run writes it, so it is small. Owner
// and Trace belong to the engine; this package does not read them.
type Header struct {
	AdoptedBy          string     `json:"adopted_by,omitempty"`         // the batch that continues the withdrawn operations
	AutoCheckpointAt   *time.Time `json:"auto_checkpoint_at,omitempty"` // of the last of AutoCheckpoints
	AutoCheckpoints    int        `json:"auto_checkpoints,omitempty"`   // automatic checkpoints that were due so far
	CancelID           string     `json:"cancel_id,omitempty"`          // Cancel.ID of the command that cancelled the run
	CancelledBy        string     `json:"cancelled_by,omitempty"`
	Checkpoint         string     `json:"checkpoint,omitempty"` // Rollback: the checkpoint it goes back to
	CheckpointInterval int        `json:"checkpoint_interval,omitempty"`
	CompletedAt        *time.Time `json:"completed_at,omitempty"`
	Counts             Counts     `json:"counts"`
	CreatedAt          time.Time  `json:"created_at"`
	Error              string     `json:"error,omitempty"`
	FailedBy           string     `json:"failed_by,omitempty"` // name of the first operation that failed the run
	Grant              Grant      `json:"grant"`
	ID                 string     `json:"id"`
	Kind               Kind       `json:"kind"`
	Name               string     `json:"name"`
	Owner              string     `json:"owner,omitempty"`
	ParallelLimit      int        `json:"parallel_limit"`
	Policy             Policy     `json:"policy"`
	PreserveSuccessful bool       `json:"preserve_successful,omitempty"`
	Resumes            string     `json:"resumes,omitempty"`   // the batch whose withdrawn operations this one continues
	RollBack           bool       `json:"roll_back,omitempty"` // the batch undoes what was done once nothing runs any more
	RollbackEnabled    bool       `json:"rollback_enabled,omitempty"`
	Slices             int        `json:"slices"` // number of documents that hold the definition
	StartedAt          *time.Time `json:"started_at,omitempty"`
	State              State      `json:"state"`
	StepLimit          int        `json:"step_limit"`
	StorageBackend     string     `json:"storage_backend,omitempty"`
	Trace              string     `json:"trace,omitempty"` // traceparent of the request that submitted it
	Undo               *UndoPlan  `json:"undo,omitempty"`  // of a Rollback
	UpdatedAt          time.Time  `json:"updated_at"`
	Version            string     `json:"version,omitempty"`
	Withdrawn          bool       `json:"withdrawn,omitempty"` // the submitter has lost the right to some of it
}

// Status returns the status on the wire of the state of the run. A batch that is queued behind a
// rollback counts as running, because the wire knows no pending batch.
func (h *Header) Status() Status {
	if h.State == Queued {
		return StatusRunning
	}
	return h.State.Status()
}

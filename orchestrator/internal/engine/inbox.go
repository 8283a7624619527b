package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// maxGather bounds how long a result waits for others.
const maxGather = 2 * time.Millisecond

// message is a command to a run with what belongs to it.
type message struct {
	command dag.Command
	entry   []byte     // audit entry to commit with it
	reply   chan error // buffered; nil when nobody waits
	err     error
}

// post hands a message to the run; it never blocks.
func (r *runner) post(m message) {
	_, result := m.command.(dag.Done)
	r.mu.Lock()
	over := r.over
	if !over {
		r.inbox = append(r.inbox, m)
	}
	early := result && len(r.inbox) < r.enough
	r.mu.Unlock()
	switch {
	case !over && !early:
		r.nudge()
	case over && m.reply != nil:
		m.reply <- r.late()
	}
}

func (r *runner) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take returns what waits, as much as fits into one commit.
func (r *runner) take() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, size := 0, 0
	for n < len(r.inbox) && n < maxTake && size < maxBytes {
		if d, ok := r.inbox[n].command.(dag.Done); ok && int(d.Task) < len(r.sizes) {
			size += r.sizes[d.Task] + len(d.Result.Output) + 2048
		}
		n++
	}
	taken := r.inbox[:n:n]
	if r.inbox = r.inbox[n:]; len(r.inbox) > 0 {
		r.nudge()
	} else {
		r.inbox = nil
	}
	return taken
}

// gather waits for the other attempts at work, when the first has ended, so that those that end at the same moment share a
// commit: no longer than half of what the last one took, for a second commit would hold up the late ones by all of it. Of many
// it waits for half, and for the rest while that is stored.
func (r *runner) gather(ctx context.Context, timer *time.Timer) {
	enough, late := len(r.flights), timer.C
	if r.sent != nil {
		late = nil
	} else {
		timer.Reset(min(r.took/2, maxGather))
		if enough >= 2*large {
			enough /= 2
		}
	}
	r.mu.Lock()
	r.enough = enough
	all := len(r.inbox) >= enough || len(r.landed) > 0
	r.mu.Unlock()
	if !all {
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-late:
		}
	}
	r.mu.Lock()
	r.enough = 0
	r.mu.Unlock()
}

package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/store"
)

// maxWindow bounds how long a result waits for others.
const maxWindow = 2 * time.Millisecond

// message is a command to a run with what belongs to it.
type message struct {
	command dag.Command
	entry   []byte        // audit entry to commit with it
	writes  []store.Write // to commit with it
	reply   chan error    // buffered; nil when nobody waits
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
	room := store.MaxWrites - 1 - len(r.sizes) // documents besides the header and all tasks
	for n < len(r.inbox) && n < maxTake && size < maxBytes {
		switch c := r.inbox[n].command.(type) {
		case dag.Done: // its effect and that of its operation, the origin or a failure, and what it made
			room -= 3 + len(c.Result.Resources)
			if int(c.Task) < len(r.sizes) {
				size += r.sizes[c.Task] + len(c.Result.Output) + 2048
			}
		case dag.Cancel: // it may end all tasks, and each may come to stand
			room -= len(r.sizes)
		}
		if n > 0 && room < 0 {
			break
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

// awaitWindow waits for the other attempts at work, when the first has ended, so that those that end at the same moment share a
// commit: no longer than half of what the last one took, for a second commit would hold up the late ones by all of it. Of many
// it waits for half, and for the rest while that is stored.
func (r *runner) awaitWindow(ctx context.Context, timer *time.Timer) {
	enough, late := r.atWork(), timer.C
	if r.inFlight != nil {
		late = nil
	} else {
		timer.Reset(min(r.took/2, maxWindow))
		if enough >= 2*large {
			enough /= 2
		}
	}
	r.mu.Lock()
	r.enough = enough
	all := len(r.inbox) >= enough || len(r.stored) > 0
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

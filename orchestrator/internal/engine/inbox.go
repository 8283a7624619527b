// Tuning: the window for results. Without it layers of 50 at a provider that takes 1 ms are 30 %
// slower.

package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/store"
)

// Bounds of one commit of a run, well below those of the store.
const (
	maxTake  = 1000
	maxBytes = 6 << 20
)

// message is a command to a run with what is committed with it.
type message struct {
	command dag.Command
	entry   []byte        // audit entry
	writes  []store.Write // documents
	reply   chan error    // buffered; nil when nobody waits
	err     error
}

// post hands a message to the run; it never blocks.
func (r *runner) post(m message) {
	_, result := m.command.(dag.Done)
	r.mu.Lock()
	closed := r.closed
	if !closed {
		r.inbox = append(r.inbox, m)
	}
	early := result && len(r.inbox) < r.enough
	r.mu.Unlock()
	switch {
	case !closed && !early:
		r.nudge()
	case closed && m.reply != nil:
		m.reply <- r.late()
	}
}

// nudge wakes the goroutine of the run.
func (r *runner) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take returns the messages that wait, as many as fit into one commit.
func (r *runner) take() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, size := 0, 0
	writes := store.MaxWrites - 1 - len(r.sizes) // that are left besides the header and all tasks
	for n < len(r.inbox) && n < maxTake && size < maxBytes {
		writes -= len(r.inbox[n].writes)
		switch c := r.inbox[n].command.(type) {
		case dag.Done: // its effect and that of its operation, the origin or a failure, and what it made
			writes -= 3 + len(c.Result.Resources)
			if int(c.Task) < len(r.sizes) {
				size += r.sizes[c.Task] + len(c.Result.Output) + 2048
			}
		case dag.Cancel, dag.CancelTask: // it may end all tasks, and each may come to stand
			writes -= len(r.sizes)
		}
		if n > 0 && writes < 0 {
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

// maxWindow bounds how long a result waits for others.
const maxWindow = 2 * time.Millisecond

// manyAttempts is how many attempts are at work when the window no longer waits for all of them.
const manyAttempts = 32

// awaitWindow waits, when the first attempt has ended, for the others at work, so that those which
// end at the same moment share a commit. It waits for half of the time that the last commit took,
// at most maxWindow: a second commit would delay the late ones by all of it. Of many attempts it
// waits for half, as the others end while those are stored.
func (r *runner) awaitWindow(ctx context.Context, timer *time.Timer) {
	enough := len(r.attempts)
	if enough >= manyAttempts {
		enough /= 2
	}
	r.mu.Lock()
	r.enough = enough
	all := len(r.inbox) >= enough
	r.mu.Unlock()
	if !all {
		timer.Reset(min(r.took/2, maxWindow))
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
	}
	r.mu.Lock()
	r.enough = 0
	r.mu.Unlock()
}

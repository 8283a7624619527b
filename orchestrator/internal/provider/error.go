package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// Error is a provider's no. Class decides what the machine does next; Message is for the person who
// asked: what, why, what to do next.
type Error struct {
	Class      dag.Class
	Message    string
	RetryAfter time.Duration // what the provider asked for; 0 when it did not
	Err        error         // the cause, for the log; may be nil
}

// The reasons that a caller looks for with errors.Is.
var (
	// ErrTaken says that a server of that name under another tag is there.
	ErrTaken = errors.New("the name is taken")
	// ErrGone says that the server to connect to does not exist any more.
	ErrGone = errors.New("the server is gone")
)

// Taken is the refusal to make a second server of a name.
func Taken(name string) *Error {
	return Errorf(dag.ConflictClass, "there is a server %s already, which another task made", name).Because(ErrTaken)
}

// Gone is the refusal to connect to a server that does not exist.
func Gone(name string) *Error {
	return Errorf(dag.Permanent, "server %s does not exist any more", name).Because(ErrGone)
}

// Errorf returns an Error of the given class.
func Errorf(class dag.Class, format string, args ...any) *Error {
	return &Error{Class: class, Message: fmt.Sprintf(format, args...)}
}

// Because returns a copy of e that carries cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Err = cause
	return &c
}

// Error returns the message and, for the log, the cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// scarcities are what commands say when something ran out on their server, as the C library, Go and
// shells spell it.
var scarcities = []string{"no space left on device", "disk quota exceeded", "too many open files", "cannot allocate memory",
	"resource temporarily unavailable", "cannot fork", "text file busy", "input/output error", "i/o error", "shared object file: error 24"}

// ClassOf returns the class of a command's failure by what it wrote: Transient when its server was
// out of space, memory, descriptors or processes, which come back; else Permanent.
func ClassOf(output []byte) dag.Class {
	text := strings.ToLower(string(output[max(0, len(output)-scarceTail):]))
	if slices.ContainsFunc(scarcities, func(s string) bool { return strings.Contains(text, s) }) {
		return dag.Transient
	}
	return dag.Permanent
}

// scarceTail is how much of the end of an output Scarce looks at (bytes).
const scarceTail = 4 << 10

// Begun marks the error of a call that had begun to change something: when it was stopped, what is
// there has to be looked up.
func Begun(err error) error {
	if errors.Is(err, context.Canceled) {
		return Errorf(dag.UnknownOutcome, "stopped while the provider was working").Because(err)
	}
	return err
}

// Classify turns any error of a driver into an Error; nil for nil. An error that no driver
// classified is transient: providers fail in ways nobody listed, and every call is safe to repeat.
func Classify(err error) *Error {
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return Errorf(dag.TimedOut, "timeout: the provider did not answer in time").Because(err)
	case errors.Is(err, context.Canceled):
		return Errorf(dag.Stopped, "stopped while the provider was working").Because(err)
	}
	who := "the provider"
	if Ours(err) {
		who = "the orchestrator's machine"
	}
	return Errorf(dag.Transient, "%s failed: %v", who, WithoutPath(err)).Because(err)
}

// Ours says whether a failure is that this machine ran out of descriptors, memory or space.
func Ours(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// WithoutPath returns what a fault of the file system says without the path, which is nobody's
// business outside (decision 66); the log has it.
func WithoutPath(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return fmt.Errorf("%s: %w", path.Op, path.Err)
	case errors.As(err, &link):
		return fmt.Errorf("%s: %w", link.Op, link.Err)
	}
	return err
}

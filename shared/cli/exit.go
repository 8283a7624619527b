package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/provisioning-platform/platform/shared/fault"
)

// The exit codes of both binaries (architecture section 10; 12 is decision 70).
const (
	ExitOK           = 0
	ExitFailed       = 1
	ExitUsage        = 2
	ExitNotFound     = 3
	ExitNotSignedIn  = 4
	ExitDenied       = 5
	ExitConflict     = 6
	ExitTimeout      = 7
	ExitRunFailed    = 8
	ExitRunCancelled = 9
	ExitUnreachable  = 10
	ExitUnverified   = 11
	ExitThrottled    = 12
	ExitInterrupted  = 130
)

// exit is an error with an exit code of its own.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

// Exit returns err with the exit code that the program shall end with.
func Exit(code int, err error) error { return &exit{code: code, err: err} }

// Usage returns a usage error: exit code 2.
func Usage(format string, args ...any) error {
	return Exit(ExitUsage, fmt.Errorf(format, args...))
}

// byKind gives each kind of fault its exit code; kinds that are not listed end in 1.
var byKind = map[fault.Kind]int{
	fault.Malformed: ExitUsage, fault.Invalid: ExitUsage, fault.NotFound: ExitNotFound, fault.Unauthenticated: ExitNotSignedIn,
	fault.Denied: ExitDenied, fault.Conflict: ExitConflict, fault.Unavailable: ExitUnreachable,
	fault.Throttled: ExitThrottled,
}

// Code returns the exit code for err; 0 for nil.
func Code(err error) int {
	var e *exit
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.Is(err, context.DeadlineExceeded):
		return ExitTimeout
	}
	if code, ok := byKind[fault.KindOf(err)]; ok {
		return code
	}
	return ExitFailed
}

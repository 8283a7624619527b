package simulated

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"syscall"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// Config says how the provider behaves. The zero value is instant, unlimited and without faults.
type Config struct {
	Latency  time.Duration // of every call
	Boot     time.Duration // until a new server is up, for those who wait for it
	Jitter   time.Duration // up to this much more, at random
	Throttle float64       // calls a second that are answered; more are refused as throttled; 0: all
	Faults   []Fault
	State    string // file that keeps the servers across restarts; empty: memory only
	Calls    string // file that gets one JSON line for each mutating call; empty: none
}

// Fault makes calls fail or slow. The first one that matches and is not used up applies.
type Fault struct {
	Match   string        // glob over the server's name; empty: any
	Action  string        // "create", "delete", "find", "list", "connect", "run", "upload"; empty: any mutating one
	Command string        // for "run": glob over the base names in the argument vector; empty: any
	Times   int           // how many calls; 0: all
	Class   dag.Class     // how they fail; empty: they only take long
	Latency time.Duration // further time before the answer
	After   bool          // the effect takes place and only the answer is a failure
	Message string        // what the failure says; empty: a text made of the above
}

// mutating says whether an action changes something, or runs something on a server.
func mutating(action string) bool {
	return action == "create" || action == "delete" || action == "run" || action == "upload"
}

// Check says what is wrong with a configuration, without opening its files.
func (c Config) Check() error {
	if c.Latency < 0 || c.Boot < 0 || c.Jitter < 0 || c.Throttle < 0 {
		return fmt.Errorf("simulated provider: latency, boot, jitter and throttle are not negative")
	}
	for i, f := range c.Faults {
		if _, err := path.Match(f.Match, ""); err != nil {
			return fmt.Errorf("simulated provider: fault %d: match %q is no glob", i, f.Match)
		}
		if _, err := path.Match(f.Command, ""); err != nil {
			return fmt.Errorf("simulated provider: fault %d: command %q is no glob", i, f.Command)
		}
		switch f.Action {
		case "", "create", "delete", "find", "list", "connect", "run", "upload":
		default:
			return fmt.Errorf("simulated provider: fault %d: there is no action %q", i, f.Action)
		}
		switch f.Class {
		case "", dag.Transient, dag.Throttled, dag.Quota, dag.Auth, dag.ConflictClass, dag.Permanent, dag.TimedOut, dag.UnknownOutcome:
		default:
			return fmt.Errorf("simulated provider: fault %d: there is no failure class %q", i, f.Class)
		}
	}
	return nil
}

// journal appends JSON lines to a file, one write each, so that a kill leaves whole lines or, where
// a page of memory ends within the last one, its beginning.
type journal struct{ file *os.File }

// maxLine bounds a line of a journal.
const maxLine = 1 << 20

func openJournal(name string) (*journal, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("simulated provider: %w", err)
	}
	return &journal{f}, nil
}

// cutTorn cuts off a last line that has no end: its call was never answered, and the next line
// would be joined to it.
func cutTorn(f *os.File) error {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	tail := make([]byte, min(info.Size(), maxLine))
	start := info.Size() - int64(len(tail))
	if _, err := f.ReadAt(tail, start); err != nil {
		return err
	}
	whole := bytes.LastIndexByte(tail, '\n') + 1
	if whole == len(tail) || whole == 0 && start > 0 { // nothing is torn, or this is no journal
		return nil
	}
	return f.Truncate(start + int64(whole))
}

func (j *journal) add(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	n, err := j.file.Write(append(line, '\n'))
	if err == nil || n == 0 {
		return err
	}
	info, serr := j.file.Stat() // the disk is full: the next line must not be joined to the beginning of this one
	if serr == nil {
		serr = j.file.Truncate(info.Size() - int64(n))
	}
	return errors.Join(err, serr)
}

// own takes the file for this process until it ends; false while another process has it. Two
// orchestrators on one state file, of which one was started from a copy of the other's folder,
// would each not see what the other does.
func (j *journal) own() (bool, error) {
	err := syscall.FcntlFlock(j.file.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK})
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return false, nil
	}
	return err == nil, err
}

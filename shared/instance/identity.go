package instance

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
)

// Identity tells one running process apart from all others, on all machines and after restarts.
type Identity struct {
	Instance string `json:"instance"` // random, made once for a data folder and kept in it
	Host     string `json:"host"`
	Boot     string `json:"boot"` // the kernel's boot id; empty where there is none
	PID      int    `json:"pid"`
	Started  uint64 `json:"started"` // the kernel's start time of the process, in ticks since boot
}

// Identify returns the identity of this process for a data folder. It makes DIR/instance when there
// is none and holds a lock on it until release or the end of the process: a second process on the
// same folder gets a Conflict fault, also from another container.
func Identify(dir string) (me Identity, release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return me, nil, fmt.Errorf("data folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "instance"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return me, nil, fmt.Errorf("data folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return me, nil, fault.New(fault.Conflict, "process.folder_in_use",
			"another process serves the data folder %s; stop it first, or give this one a folder of its own", dir)
	}
	text := make([]byte, 64)
	n, _ := file.Read(text)
	instance := strings.TrimSpace(string(text[:n]))
	if !id.Valid(instance) {
		instance = id.Random()
		_, err := file.WriteAt([]byte(instance+"\n"), 0)
		if err = errors.Join(err, file.Truncate(int64(len(instance))+1), file.Sync()); err != nil {
			return me, nil, fmt.Errorf("data folder: %w", errors.Join(err, file.Close()))
		}
	}
	me = Identity{Instance: instance, PID: os.Getpid(), Boot: bootID()}
	if me.Host, err = os.Hostname(); err != nil {
		me.Host = "unknown"
	}
	me.Started, _ = StartedAt(me.PID)
	return me, func() { _ = file.Close() }, nil
}

// Gone says whether the process certainly runs no more: it was of this boot of this machine, and
// its pid is free or somebody else's by now. Of another machine nothing is certain.
func (i Identity) Gone() bool {
	if i.Boot == "" || i.Boot != bootID() {
		return false
	}
	at, running := StartedAt(i.PID)
	return !running || at != i.Started
}

// StartedAt returns the kernel's start time of a process that runs, in ticks since boot; false when
// there is none, or only its exit status is left.
func StartedAt(pid int) (ticks uint64, running bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	// The name in brackets may hold anything, so the fields are counted from the last bracket:
	// state is the third field of the line, start time the twenty-second.
	_, rest, ok := strings.Cut(string(text[max(0, bytes.LastIndexByte(text, ')')):]), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0, false
	}
	ticks, err = strconv.ParseUint(fields[19], 10, 64)
	return ticks, err == nil
}

func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

package local

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/provisioning-platform/platform/shared/instance"
)

// marker is the variable that every process of a server carries, so that none can get lost. Its
// value is the path of the server's folder, which no two servers of a machine share.
const marker = "PROVISIONING_SERVER_FOLDER"

// alive says whether the very process that was recorded still runs.
func (p process) alive() bool {
	if p.PID <= 1 {
		return false
	}
	at, ok := instance.StartedAt(p.PID)
	return ok && at == p.Started
}

// serves says whether the recorded process runs and serves this very folder. Its working directory
// is the folder it serves: a copy of the folder, which holds the same record, is another directory,
// and a folder that was moved is not.
func (p process) serves(f folder) bool {
	if !p.alive() {
		return false
	}
	its, err := os.Stat("/proc/" + strconv.Itoa(p.PID) + "/cwd")
	if err != nil {
		return false
	}
	this, err := os.Stat(string(f))
	return err == nil && os.SameFile(its, this)
}

// processesOf returns the pids of all processes that carry the server's marker.
func processesOf(f folder) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	mark := []byte("\x00" + marker + "=" + string(f) + "\x00")
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err != nil || !bytes.Contains(append([]byte{0}, env...), mark) {
			continue
		}
		if _, ok := instance.StartedAt(pid); ok {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Times of an ending: how long a server may take to end its commands, and how long the kernel may
// take after that.
const (
	endGrace = 2 * time.Second
	killWait = 5 * time.Second
	pollStep = 5 * time.Millisecond
)

// end ends the server's process and everything that was started on it; false when something is
// left.
func end(f folder, p process) bool {
	if p.alive() {
		syscall.Kill(p.PID, syscall.SIGTERM)
		waitFor(endGrace, func() bool { return !p.alive() })
	}
	return waitFor(killWait, func() bool {
		left := processesOf(f)
		for _, pid := range left {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		return len(left) == 0
	})
}

// waitFor asks until the answer is yes or the time is over.
func waitFor(limit time.Duration, ask func() bool) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(pollStep) {
		if ask() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

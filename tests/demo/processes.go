package main

import (
	"errors"
	"slices"
	"syscall"

	"github.com/provisioning-platform/platform/tests/rig"
)

// serversBelow returns the local servers whose folder is below dir.
func serversBelow(dir string) ([]rig.Process, error) {
	found, err := rig.ProcessesBelow(dir)
	return slices.DeleteFunc(found, func(p rig.Process) bool { return !p.LocalServer() }), err
}

// endServersBelow tells the local servers whose folder is below dir to end, and returns how many
// there were.
func endServersBelow(dir string) (int, error) {
	servers, err := serversBelow(dir)
	for _, s := range servers {
		if killErr := syscall.Kill(s.PID, syscall.SIGTERM); !errors.Is(killErr, syscall.ESRCH) {
			err = errors.Join(err, killErr)
		}
	}
	return len(servers), err
}

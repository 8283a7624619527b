package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// serversBelow returns the process ids of the local servers whose folder is below dir.
func serversBelow(dir string) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err != nil {
			continue // it ended meanwhile
		}
		if !bytes.Contains(line, []byte("local-server")) || !bytes.Contains(line, []byte(dir)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil {
			return nil, err
		}
		found = append(found, pid)
	}
	return found, nil
}

// endServersBelow ends the local servers whose folder is below dir and returns how many there were.
func endServersBelow(dir string) (int, error) {
	pids, err := serversBelow(dir)
	for _, pid := range pids {
		if killErr := syscall.Kill(pid, syscall.SIGTERM); !errors.Is(killErr, syscall.ESRCH) {
			err = errors.Join(err, killErr)
		}
	}
	return len(pids), err
}

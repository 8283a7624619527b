package rig

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is a running process with its command line.
type Process struct {
	PID  int
	Args []string
}

// LocalServer says whether it is a server of the local driver.
func (p Process) LocalServer() bool { return len(p.Args) > 1 && p.Args[1] == "local-server" }

// ProcessesBelow returns the processes whose command line names a folder or something in it: the
// services of an installation and what they started.
func ProcessesBelow(dir string) ([]Process, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var found []Process
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue // it ended meanwhile
		}
		args := strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00")
		for _, a := range args {
			if strings.HasSuffix(a, dir) || strings.Contains(a, dir+"/") {
				pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
				if err != nil {
					return nil, err
				}
				found = append(found, Process{pid, args})
				break
			}
		}
	}
	return found, nil
}

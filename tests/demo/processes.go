package main

import (
	"os"
	"path/filepath"
	"strings"
)

// processesBelow returns the command lines of the local servers whose folder is below dir.
func processesBelow(dir string) ([]string, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue // it ended meanwhile
		}
		line := strings.ReplaceAll(strings.TrimRight(string(raw), "\x00"), "\x00", " ")
		if strings.Contains(line, "local-server") && strings.Contains(line, dir) {
			found = append(found, line)
		}
	}
	return found, nil
}

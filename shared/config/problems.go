package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
)

// Problems collects what is wrong with a configuration, so that an operator reads all of it at
// once.
type Problems struct {
	texts   []string
	outside int // of texts: what is wrong is not the configuration but what it names
}

// Add notes one problem. The text names the key or the variable and says what is right; it never
// shows the value of a secret.
func (p *Problems) Add(format string, args ...any) {
	p.texts = append(p.texts, fmt.Sprintf(format, args...))
}

// AddError notes err, unless it is nil.
func (p *Problems) AddError(err error) {
	if err != nil {
		p.texts = append(p.texts, err.Error())
	}
}

// AddState notes that something the configuration names is in no state to work with, such as a data
// folder that was not initialised; nothing when err is nil or was noted before.
func (p *Problems) AddState(err error) {
	if err != nil && !slices.Contains(p.texts, err.Error()) {
		p.texts = append(p.texts, err.Error())
		p.outside++
	}
}

// Private notes each path that is there and that others than its owner can read.
func (p *Problems) Private(paths ...string) {
	for _, path := range paths {
		mode := fs.FileMode(0o600)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && info.IsDir() {
			mode = 0o700
		}
		p.AddState(secret.Private(path, mode))
	}
}

// AtLeast notes a problem unless value is least or more.
func (p *Problems) AtLeast(key string, value, least int) {
	if value < least {
		p.Add("%s must be at least %d, not %d", key, least, value)
	}
}

// NotNegative notes a problem when value is below zero.
func (p *Problems) NotNegative(key string, value Duration) {
	if value < 0 {
		p.Add("%s must not be negative; 0 is no limit", key)
	}
}

// Folder notes a problem unless path is empty or an existing folder.
func (p *Problems) Folder(key string, path Path) {
	if path == "" {
		return
	}
	if info, err := os.Stat(string(path)); err != nil || !info.IsDir() {
		p.Add("%s: there is no folder %s; make it, or correct the key", key, path)
	}
}

// Err returns an Invalid fault with one problem a line, in the order they were noted, and a
// Conflict when all of them are what AddState noted; nil when there is none.
func (p *Problems) Err() error {
	if len(p.texts) == 0 {
		return nil
	}
	kind, code := fault.Invalid, "config.value"
	if p.outside == len(p.texts) {
		kind, code = fault.Conflict, "config.state"
	}
	return fault.New(kind, code, "%s", strings.Join(p.texts, "\n"))
}

package config

import (
	"fmt"
	"os"
	"strings"

	"github.com/provisioning-platform/platform/shared/fault"
)

// Problems collects what is wrong with a configuration, so that an operator reads all of it at once.
type Problems struct{ texts []string }

// Add notes one problem. The text names the key or the variable and says what is right; it never shows
// the value of a secret.
func (p *Problems) Add(format string, args ...any) {
	p.texts = append(p.texts, fmt.Sprintf(format, args...))
}

// AddError notes err, unless it is nil.
func (p *Problems) AddError(err error) {
	if err != nil {
		p.texts = append(p.texts, err.Error())
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

// Err returns an Invalid fault with one problem a line, in the order they were noted; nil when there is
// none.
func (p *Problems) Err() error {
	if len(p.texts) == 0 {
		return nil
	}
	return fault.New(fault.Invalid, "config.value", "%s", strings.Join(p.texts, "\n"))
}

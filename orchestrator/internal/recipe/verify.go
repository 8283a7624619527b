package recipe

import (
	"bytes"
	"fmt"
	"strings"
)

// Verify parses a configuration file as it was read back from a server, and looks for the members
// it has to have. A YAML file may hold several documents.
func (c Catalogue) Verify(f File, text []byte) error {
	decode := c.Formats[f.Format]
	if decode == nil {
		return fmt.Errorf("%s: nothing here can read format %q", f.Path, f.Format)
	}
	documents := [][]byte{text}
	if f.Format == "yaml" {
		documents = bytes.Split(append([]byte("\n"), text...), []byte("\n---\n"))
	}
	found := 0
	for _, d := range documents {
		if len(bytes.TrimSpace(d)) == 0 {
			continue
		}
		found++
		var v map[string]any
		if err := decode(d, &v); err != nil {
			return fmt.Errorf("%s is not %s: %w", f.Path, strings.ToUpper(f.Format), err)
		}
		for _, name := range f.Require {
			if !has(v, name) {
				return fmt.Errorf("%s lacks %s", f.Path, name)
			}
		}
	}
	if found == 0 {
		return fmt.Errorf("%s is empty", f.Path)
	}
	return nil
}

// has follows a dotted name through maps. A member's own name may hold dots (plugins of containerd
// do), so each prefix is tried.
func has(v any, name string) bool {
	m, ok := v.(map[string]any)
	if !ok {
		return false
	}
	if x, ok := m[name]; ok {
		return x != nil
	}
	for i := range len(name) {
		if name[i] == '.' {
			if x, ok := m[name[:i]]; ok && has(x, name[i+1:]) {
				return true
			}
		}
	}
	return false
}

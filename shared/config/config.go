// Package config reads the configuration of a program: flags beat environment beat one TOML file
// beat the defaults already in the struct. It owns names, origins and error texts, and is the only
// package that knows TOML; what the values mean is the program's business. The one rule a caller
// must know: a key is its path of toml tags ("rate_limits.enabled"), and everything else follows
// from it mechanically: PREFIX_RATE_LIMITS_ENABLED in the environment, and for a secret.Text also
// PREFIX_…_FILE.
//
// Keys of the file and of flags that are unknown are errors, in the spelling of a key too. Unknown
// names of the environment are errors only when they are nearly a key (decision 61): schedulers put
// names of their own beside ours. All faults are reported at once, one a line.
package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
)

// Options say where a configuration comes from.
type Options struct {
	File     string            // path of the TOML file; empty: none
	Prefix   string            // of environment names: "ORCHESTRATOR"
	Flags    map[string]string // given flags by key; lists are separated by commas
	Environ  []string          // NAME=value, as os.Environ returns it; an empty value is an absent one
	OwnNames []string          // names with the prefix that are read elsewhere
	Check    func(*Problems)   // notes wrong values; called when the file could be read; nil: no check
}

// Path is a path of a file or folder. In the file it is relative to the file's folder; from a flag
// or the environment, to the working folder.
type Path string

// Duration is a time span written as text: "15m", "1h30m".
type Duration time.Duration

// UnmarshalText reads the text form.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// MarshalText returns the text form.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Loaded remembers where each value came from.
type Loaded struct {
	into    reflect.Value
	origins map[string]string // by key; absent: default

	Unknown []string // names of the environment with the prefix that nothing reads, sorted
}

// Load fills *into, which holds the defaults and must be a pointer to a struct. Its error is that
// of Problems.Err: every problem on a line of its own, which names file and line, variable or flag,
// and never shows a secret's value. Loaded is nil only when the file cannot be read, or is no TOML.
func Load(into any, o Options) (*Loaded, error) {
	l := &Loaded{into: reflect.ValueOf(into).Elem(), origins: map[string]string{}}
	var problems Problems
	if o.File != "" {
		data, err := os.ReadFile(o.File)
		if err != nil {
			return nil, fault.New(fault.Invalid, "config.file", "the configuration file cannot be read: %v", err)
		}
		set, err := decode(data, into, o.File)
		if set == nil {
			return nil, err
		}
		problems.AddError(err)
		for key := range set {
			l.origins[key] = "file " + o.File
		}
		l.rebase(filepath.Dir(o.File))
	}
	l.environment(o, &problems)
	l.flags(o.Flags, &problems)
	if o.Check != nil {
		o.Check(&problems)
	}
	return l, problems.Err()
}

// rebase makes relative paths that the file gave relative to its folder.
func (l *Loaded) rebase(dir string) {
	walk(l.into, "", func(key string, v reflect.Value) {
		if l.origin(key) == "default" {
			return
		}
		switch v.Type() {
		case reflect.TypeFor[Path]():
			v.SetString(string(under(dir, v.Interface().(Path))))
		case reflect.TypeFor[[]Path]():
			for i := range v.Len() {
				v.Index(i).SetString(string(under(dir, v.Index(i).Interface().(Path))))
			}
		}
	})
}

func under(dir string, p Path) Path {
	if p == "" || filepath.IsAbs(string(p)) {
		return p
	}
	return Path(filepath.Join(dir, string(p)))
}

// origin says where the value of a key came from: "default", "file F", "environment N", "flag --k".
func (l *Loaded) origin(key string) string {
	for k := key; k != ""; {
		if o, ok := l.origins[k]; ok {
			return o
		}
		i := strings.LastIndexByte(k, '.') // an element of a list has the origin of the list
		if i < 0 {
			break
		}
		k = k[:i]
	}
	return "default"
}

func (l *Loaded) flags(given map[string]string, problems *Problems) {
	known := map[string]reflect.Value{}
	walk(l.into, "", func(key string, v reflect.Value) { known[key] = v })
	for _, key := range slices.Sorted(maps.Keys(given)) {
		v, ok := known[key]
		if !ok || !v.CanSet() {
			problems.Add("flag %s is no key of the configuration%s", key, suggest(key, keysOf(known)))
			continue
		}
		problems.AddError(l.put(key, v, given[key], "flag --"+key))
	}
}

// put sets one value from text and notes its origin.
func (l *Loaded) put(key string, v reflect.Value, text, origin string) error {
	if err := setText(v, text); err != nil {
		return fault.New(fault.Invalid, "config.value", "%s: %s", origin, err)
	}
	l.origins[key] = origin
	return nil
}

// errWanted says what a text should have been, without repeating it.
func errWanted(what string) error { return fmt.Errorf("must be %s", what) }

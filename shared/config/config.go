// Package config reads the configuration of a program: flags beat environment beat one TOML file beat
// the defaults already in the struct. It owns names, origins and error texts, and is the only package
// that knows TOML; what the values mean is the program's business. The one rule a caller must know: a key
// is its path of toml tags ("rate_limits.enabled"), and everything else follows from it mechanically:
// PREFIX_RATE_LIMITS_ENABLED in the environment, and for a secret.Text also PREFIX_…_FILE.
//
// Environment names that match no key are ignored: schedulers put names of their own beside ours. Keys of
// the file and of flags that are unknown are errors.
package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
)

// Options say where a configuration comes from.
type Options struct {
	File   string                           // path of the TOML file; empty: none
	Prefix string                           // of environment names: "ORCHESTRATOR"
	Flags  map[string]string                // given flags by key; lists are separated by commas
	Env    func(name string) (string, bool) // nil: the process's environment
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
	file    string
}

// Load fills *into, which holds the defaults and must be a pointer to a struct. Errors are Invalid faults
// that name file and line, variable or flag, and never show a secret's value.
func Load(into any, o Options) (*Loaded, error) {
	l := &Loaded{into: reflect.ValueOf(into).Elem(), origins: map[string]string{}, file: o.File}
	if o.File != "" {
		data, err := os.ReadFile(o.File)
		if err != nil {
			return nil, fault.New(fault.Invalid, "config.file", "the configuration file cannot be read: %v", err)
		}
		set, err := decode(data, into, o.File)
		if err != nil {
			return nil, err
		}
		for key := range set {
			l.origins[key] = "file " + o.File
		}
		l.rebase(filepath.Dir(o.File))
	}
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	if err := l.environment(o); err != nil {
		return nil, err
	}
	return l, l.flags(o.Flags)
}

// rebase makes relative paths that the file gave relative to its folder.
func (l *Loaded) rebase(dir string) {
	walk(l.into, "", func(key string, v reflect.Value) {
		if l.Origin(key) == "default" {
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

// Origin says where the value of a key came from: "default", "file F", "environment N", "flag --k".
func (l *Loaded) Origin(key string) string {
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

func (l *Loaded) environment(o Options) (err error) {
	walk(l.into, "", func(key string, v reflect.Value) {
		name := EnvName(o.Prefix, key)
		if err != nil || !v.CanSet() {
			return
		}
		if text, ok := o.Env(name); ok {
			err = l.put(key, v, text, "environment "+name)
		}
		path, ok := o.Env(name + "_FILE")
		if !ok || v.Type() != reflect.TypeFor[secret.Text]() || err != nil {
			return
		}
		t, failed := secret.FromFile(path)
		if failed != nil {
			err = fault.New(fault.Invalid, "config.secret_file", "%s_FILE: %s", name, failed)
			return
		}
		v.Set(reflect.ValueOf(t))
		l.origins[key] = "environment " + name + "_FILE"
	})
	return err
}

// EnvName returns the environment name of a key.
func EnvName(prefix, key string) string {
	return prefix + "_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

func (l *Loaded) flags(given map[string]string) error {
	known := map[string]reflect.Value{}
	walk(l.into, "", func(key string, v reflect.Value) { known[key] = v })
	for key, text := range given {
		v, ok := known[key]
		if !ok || !v.CanSet() {
			return fault.New(fault.Invalid, "config.flag", "flag %s is no key of the configuration%s", key, suggest(key, keysOf(known)))
		}
		if err := l.put(key, v, text, "flag --"+key); err != nil {
			return err
		}
	}
	return nil
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

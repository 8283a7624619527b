package config

import (
	"encoding"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/provisioning-platform/platform/shared/secret"
)

// Value is one setting as config show has it.
type Value struct {
	Key    string `json:"key"`
	Value  string `json:"value"`  // as TOML writes it; secrets are masked
	Origin string `json:"origin"` // "default", "file F", "environment N", "flag --k"
}

// Values returns every setting, in the order of declaration.
func (l *Loaded) Values() []Value {
	var all []Value
	walk(l.into, "", func(key string, v reflect.Value) {
		all = append(all, Value{Key: key, Value: shown(v), Origin: l.origin(key)})
	})
	return all
}

// Show prints every key with its value and origin, one a line; secrets are masked.
func (l *Loaded) Show(w io.Writer) error {
	for _, v := range l.Values() {
		if _, err := fmt.Fprintf(w, "%s = %s  # %s\n", v.Key, v.Value, v.Origin); err != nil {
			return err
		}
	}
	return nil
}

// shown returns a value as TOML would write it.
func shown(v reflect.Value) string {
	if t, ok := v.Interface().(secret.Text); ok {
		if t.Empty() {
			return `""`
		}
		return fmt.Sprintf("%q", t.String())
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		if b, err := m.MarshalText(); err == nil {
			return fmt.Sprintf("%q", string(b))
		}
	}
	switch v.Kind() {
	case reflect.String:
		return fmt.Sprintf("%q", withoutPassword(v.String()))
	case reflect.Slice:
		text := "["
		for i := range v.Len() {
			if i > 0 {
				text += ", "
			}
			text += shown(v.Index(i))
		}
		return text + "]"
	}
	return fmt.Sprint(v.Interface())
}

// withoutPassword masks everything between the user's name and the last @ of a text that looks like
// a URL with a password. Such a URL is refused wherever a configuration is checked, and is still
// shown here to somebody who looks for the mistake.
func withoutPassword(text string) string {
	scheme, rest, isURL := strings.Cut(text, "://")
	at := strings.LastIndexByte(rest, '@')
	if !isURL || at < 0 {
		return text
	}
	user, _, hasPassword := strings.Cut(rest[:at], ":")
	if !hasPassword {
		return text
	}
	return scheme + "://" + user + ":" + masked + rest[at:]
}

// masked is how every secret prints.
var masked = secret.Text{}.String()

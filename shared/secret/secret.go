// Package secret holds values that must never be printed. A Text has no printable form: fmt, slog
// and JSON all show "[secret]". The value leaves only through Reveal, which is easy to search for.
package secret

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// masked is what every printer shows.
const masked = "[secret]"

// Text is a secret string. The zero value is "no secret".
type Text struct{ value string }

// New returns value as a secret.
func New(value string) Text { return Text{value: value} }

// Reveal returns the value itself. Call it at the last moment, never to build a message.
func (t Text) Reveal() string { return t.value }

// Empty says whether there is no secret.
func (t Text) Empty() bool { return t.value == "" }

// Equal compares in constant time with respect to the content.
func (t Text) Equal(o Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.value), []byte(o.value)) == 1
}

// String returns a mask, so that %s and %v are safe.
func (t Text) String() string { return masked }

// Format prints the mask for every verb and flag, %#v included.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(masked)) }

// LogValue makes slog print the mask.
func (t Text) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalJSON writes the mask.
func (t Text) MarshalJSON() ([]byte, error) { return json.Marshal(masked) }

// UnmarshalJSON reads a secret from a JSON string.
func (t *Text) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &t.value) }

// UnmarshalText reads a secret from a configuration value.
func (t *Text) UnmarshalText(b []byte) error { t.value = string(b); return nil }

// Private refuses a file or folder that others than its owner can read, with the command that
// repairs it; mode is what it should have.
func Private(path string, mode fs.FileMode) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("private file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s can be read by others than its owner; run: chmod %o %s", path, mode, path)
	}
	return nil
}

// FromFile reads a secret from a file, without a byte order mark and one trailing line break. It
// refuses an empty file and a file that others than its owner can read. In systemd's
// $CREDENTIALS_DIRECTORY the group's bits are let pass: there they are the mask of the access list
// by which systemd lets the service's user in (systemd.exec, LoadCredential=).
func FromFile(path string) (Text, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Text{}, fmt.Errorf("secret file: %w", err)
	}
	others := fs.FileMode(0o077)
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && filepath.Dir(path) == filepath.Clean(dir) {
		others = 0o007
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&others != 0 {
		return Text{}, fmt.Errorf("secret file %s can be read by others than its owner; run: chmod 600 %s", path, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Text{}, fmt.Errorf("secret file: %w", err)
	}
	v := strings.TrimPrefix(string(b), "\ufeff") // some editors write a byte order mark
	v = strings.TrimSuffix(strings.TrimSuffix(v, "\n"), "\r")
	if v == "" {
		return Text{}, fmt.Errorf("secret file %s is empty", path)
	}
	return New(v), nil
}

package secret

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// KeySize is the length of a key in a file, in bytes.
const KeySize = 32

// MakeKey returns the key in the file, which it makes of random bytes unless it is there: one line
// of base64url, mode 0600, in a folder of mode 0700. A process that dies while it makes the key
// leaves none behind, or a whole one.
func MakeKey(path string) ([]byte, error) {
	if _, err := os.Stat(path); err == nil {
		return ReadKey(path)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	key := make([]byte, KeySize)
	_, _ = rand.Read(key) // never fails
	_, err = f.WriteString(base64.RawURLEncoding.EncodeToString(key) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Link(f.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) { // another process was first
		return ReadKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	return key, nil
}

// ReadKey returns the key in the file. It refuses a folder or a file that others can read
// (reliability-bar S04), with the command that repairs it.
func ReadKey(path string) ([]byte, error) {
	if err := Private(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := Private(path, 0o600); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != KeySize {
		return nil, fmt.Errorf("key file %s is damaged: it must hold %d bytes in base64url; restore it from a backup", path, KeySize)
	}
	return key, nil
}

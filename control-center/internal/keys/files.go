package keys

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/provisioning-platform/platform/shared/secret"
)

// kekFile is the name of the key-encryption key in DIR/keys: one line of base64url. It lives outside the
// store, so that a copy of the store alone opens nothing.
const kekFile = "kek"

// MakeSealer makes a key-encryption key in dir (DIR/keys), which it creates with mode 0700, unless there
// is one, and returns its Sealer.
func MakeSealer(dir string) (*Sealer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	f, err := os.OpenFile(filepath.Join(dir, kekFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return OpenSealer(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	_, err = f.WriteString(encode(b) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	return NewSealer(b)
}

// OpenSealer reads the key-encryption key of dir. It refuses a folder or a file that others can read
// (S04), with the command that repairs it.
func OpenSealer(dir string) (*Sealer, error) {
	path := filepath.Join(dir, kekFile)
	if err := secret.Private(dir, 0o700); err != nil {
		return nil, err
	}
	if err := secret.Private(path, 0o600); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	kek, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(kek) != 32 {
		return nil, fmt.Errorf("key file %s is damaged: it must hold 32 bytes in base64url; restore it from a backup", path)
	}
	return NewSealer(kek)
}

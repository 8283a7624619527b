package keys

import (
	"path/filepath"

	"github.com/provisioning-platform/platform/shared/secret"
)

// kekFile is the name of the key-encryption key in DIR/keys. It lives outside the store, so that a copy of the store alone
// opens nothing.
const kekFile = "kek"

// MakeSealer makes a key-encryption key in dir (DIR/keys), which it creates with mode 0700, unless there
// is one, and returns its Sealer.
func MakeSealer(dir string) (*Sealer, error) {
	kek, err := secret.MakeKey(filepath.Join(dir, kekFile))
	if err != nil {
		return nil, err
	}
	return NewSealer(kek)
}

// SealerFile returns the path of the key-encryption key below dir.
func SealerFile(dir string) string { return filepath.Join(dir, kekFile) }

// OpenSealer reads the key-encryption key of dir. It refuses a folder or a file that others can read
// (S04), with the command that repairs it.
func OpenSealer(dir string) (*Sealer, error) {
	kek, err := secret.ReadKey(filepath.Join(dir, kekFile))
	if err != nil {
		return nil, err
	}
	return NewSealer(kek)
}

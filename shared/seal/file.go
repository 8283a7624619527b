package seal

import (
	"path/filepath"

	"github.com/provisioning-platform/platform/shared/secret"
)

// kekFile is the name of the key-encryption key in DIR/keys. It lives outside the store, so that a
// copy of the store alone opens nothing.
const kekFile = "kek"

// Make makes a key-encryption key in dir (DIR/keys), which it creates with mode 0700, unless there
// is one, and returns its Sealer.
func Make(dir string) (*Sealer, error) {
	kek, err := secret.MakeKey(filepath.Join(dir, kekFile))
	if err != nil {
		return nil, err
	}
	return New(kek)
}

// File returns the path of the key-encryption key below dir.
func File(dir string) string { return filepath.Join(dir, kekFile) }

// Open reads the key-encryption key of dir. It refuses a folder or a file that others can read
// (S04), with the command that repairs it.
func Open(dir string) (*Sealer, error) {
	kek, err := secret.ReadKey(filepath.Join(dir, kekFile))
	if err != nil {
		return nil, err
	}
	return New(kek)
}

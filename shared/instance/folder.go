// Package instance tells one running process apart from all others and names what lies in its data
// folder. It owns the file DIR/instance, whose lock keeps a second process out of the folder.
//
// It owns nothing else in the folder: each part writes its own files. The one rule a caller must
// know: who opens a store that another machine can write holds Identify until the store is closed.
package instance

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/provisioning-platform/platform/shared/secret"
)

// Folder is the data folder of a service, DIR in the comments.
type Folder string

// Keys returns DIR/keys: the private keys, which are in no backup of the store.
func (f Folder) Keys() string { return filepath.Join(string(f), "keys") }

// AuditKeys returns DIR/keys/audit: the keys that sign the audit log.
func (f Folder) AuditKeys() string { return filepath.Join(f.Keys(), "audit") }

// AuditPublic returns DIR/keys/audit/public: the file with the public halves.
func (f Folder) AuditPublic() string { return filepath.Join(f.AuditKeys(), "public") }

// PeerKeys returns DIR/keys/peer: what the service-to-service port is proved with.
func (f Folder) PeerKeys() string { return filepath.Join(f.Keys(), "peer") }

// Audit returns DIR/audit: tree, heads and evidence of the audit log.
func (f Folder) Audit() string { return filepath.Join(string(f), "audit") }

// Make makes the folder with mode 0700 unless it is there. It refuses one that others can read, and
// its error says how to repair that.
func (f Folder) Make() error {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return secret.Private(string(f), 0o700)
}

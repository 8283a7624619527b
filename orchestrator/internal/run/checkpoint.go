package run

import (
	"fmt"
	"time"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/store"
)

// Checkpoint is a cut: the number of a commit. A rollback to the checkpoint undoes the operations
// that stand since a later commit. The document stays small whatever there is. Unless it is record
// only, the effects that a rollback to it needs stay in the store when their runs are pruned.
type Checkpoint struct {
	Automatic   bool      `json:"automatic,omitempty"` // nobody asked for it
	Checksum    string    `json:"checksum"`            // Digest of the document, against damage
	CreatedAt   time.Time `json:"created_at"`
	Cut         uint64    `json:"cut"` // the last commit before it
	Description string    `json:"description"`
	EraFrom     uint64    `json:"era_from"` // operations of earlier eras ended before it,
	EraTo       uint64    `json:"era_to"`   // those of this one and later ones after it
	Hash        string    `json:"hash"`     // sum of the inventory at Cut, a checksum (store.Sum)
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	RecordOnly  bool      `json:"record_only,omitempty"` // what a rollback to it would need is not kept
	Resources   int       `json:"resources"`             // in the inventory at Cut
	Size        int       `json:"size"`                  // bytes of this document
	Underway    int       `json:"underway"`              // runs that had not ended at Cut: Hash has what they had made by then
	V           int       `json:"v"`                     // format
}

// Values of the index "made" of checkpoints.
const (
	MadeByPerson      = "by_person"
	MadeAutomatically = "automatically"
)

// Checkpoints is the table of checkpoints.
func Checkpoints() store.Table[Checkpoint] {
	return store.Table[Checkpoint]{Kind: checkpointKind, ID: func(c Checkpoint) string { return c.ID },
		Index: func(c Checkpoint) []store.IndexKey {
			made := store.IndexKey{Name: "made", Value: MadeByPerson}
			if c.Automatic {
				made.Value = MadeAutomatically
			}
			return []store.IndexKey{{Name: "era", Value: EraKey(c.EraTo)}, made}
		}}
}

// Digest returns the SHA-256 in hexadecimal digits of what a checkpoint says, but for Checksum and
// for RecordOnly, which changes later.
func (c Checkpoint) Digest() (string, error) {
	c.Checksum, c.RecordOnly = "", false
	body, err := canonical.Make(c)
	return store.Digest(body).String(), err
}

// EraKey is an era as index keys have it: texts in the order of the numbers.
func EraKey(era uint64) string { return fmt.Sprintf("%016x", era) }

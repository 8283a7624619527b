package audit

import (
	"context"
	"errors"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/provisioning-platform/platform/shared/store"
)

// ArchivedBase is what the tree needs of the entries that were archived and trimmed from the
// stream: the roots of its perfect subtrees, largest first. It is written in the commit that trims,
// so entries behind it lead to every signed root.
type ArchivedBase struct {
	ID    string      `json:"id"`
	Roots []tlog.Hash `json:"roots"`
	Size  int64       `json:"size"` // entries trimmed
}

const baseID = "base"

var bases = store.Table[ArchivedBase]{Kind: "audit_base", ID: func(b ArchivedBase) string { return b.ID }}

// Kinds returns the kinds of documents of this package.
func Kinds() []store.Kind { return []store.Kind{{Name: askedDocs.Kind}, {Name: bases.Kind}} }

// ReadBase returns the base of the log in db; the zero one when nothing was ever trimmed.
func ReadBase(ctx context.Context, db store.DB) (ArchivedBase, error) {
	row, err := bases.Get(ctx, db, baseID)
	return row.Value, err
}

// baseOf returns the base for a tree of the first size leaves of r.
func baseOf(size int64, r tlog.HashReader) (ArchivedBase, error) {
	t, err := loadTree(size, r)
	b := ArchivedBase{ID: baseID, Size: size}
	for l := len(t.roots) - 1; l >= 0; l-- {
		if size>>l&1 == 1 {
			b.Roots = append(b.Roots, t.roots[l])
		}
	}
	return b, err
}

// tree returns the tree that goes on behind the base.
func (b ArchivedBase) tree() (tree, error) {
	t := tree{size: b.Size}
	levels, _ := subtrees(b.Size)
	if len(levels) != len(b.Roots) {
		return t, errors.New("the stored base of the audit log is damaged")
	}
	for i, l := range levels {
		t.roots[l] = b.Roots[i]
	}
	return t, nil
}

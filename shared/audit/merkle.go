package audit

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is an RFC 6962 tree that only grows: the roots of its perfect subtrees, largest first by
// level. It needs no stored hashes to grow and to tell its root.
type tree struct {
	size  int64
	roots [64]tlog.Hash // roots[l] is meaningful when bit l of size is set
}

// add appends a leaf and returns into with the hashes it completed, in the order of tlog's storage.
func (t *tree) add(leaf tlog.Hash, into []tlog.Hash) []tlog.Hash {
	into = append(into, leaf)
	level := bits.TrailingZeros64(^uint64(t.size))
	for l := range level {
		leaf = tlog.NodeHash(t.roots[l], leaf)
		into = append(into, leaf)
	}
	t.roots[level] = leaf
	t.size++
	return into
}

// root returns the root hash.
func (t *tree) root() tlog.Hash {
	if t.size == 0 {
		h, _ := tlog.TreeHash(0, nil)
		return h
	}
	level := bits.TrailingZeros64(uint64(t.size))
	h := t.roots[level]
	for l := level + 1; l < 63; l++ {
		if t.size>>l&1 == 1 {
			h = tlog.NodeHash(t.roots[l], h)
		}
	}
	return h
}

// subtrees returns the levels of the perfect subtrees of a tree of that size, largest first, and
// where their roots are stored.
func subtrees(size int64) (levels []int, places []int64) {
	for l, start := 62, int64(0); l >= 0; l-- {
		if size>>l&1 == 1 {
			levels, places = append(levels, l), append(places, tlog.StoredHashIndex(l, start>>l))
			start += 1 << l
		}
	}
	return levels, places
}

// loadTree returns the tree over the first size leaves of r.
func loadTree(size int64, r tlog.HashReader) (tree, error) {
	t := tree{size: size}
	levels, indexes := subtrees(size)
	got, err := r.ReadHashes(indexes)
	if err != nil {
		return t, err
	}
	for i, l := range levels {
		t.roots[l] = got[i]
	}
	return t, nil
}

// hashes stores the hashes of a tree in tlog's order, 32 bytes each, in a file or, without one, in
// memory. They are derived: lost or damaged, they are computed again from the stream.
type hashes struct {
	file *os.File // nil: memory

	mu    sync.RWMutex
	mem   []tlog.Hash // under mu
	count int64       // under mu: hashes stored
	buf   []byte      // under mu: of append, used again
}

// openHashes opens the file at path, or memory when path is empty.
func openHashes(path string) (*hashes, error) {
	if path == "" {
		return &hashes{}, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &hashes{file: f, count: st.Size() / tlog.HashSize}, nil
}

// leaves returns how many leaves have all their hashes stored.
func (h *hashes) leaves() int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	low, high := int64(0), h.count+1 // StoredHashCount ascends; it is below 2n
	for low+1 < high {
		if mid := (low + high) / 2; tlog.StoredHashCount(mid) <= h.count {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// cut forgets everything behind the first n leaves.
func (h *hashes) cut(n int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count = tlog.StoredHashCount(n)
	if h.file == nil {
		h.mem = h.mem[:h.count]
		return nil
	}
	return h.file.Truncate(h.count * tlog.HashSize)
}

// begin forgets everything and begins behind a base, of whose hashes only the roots are known.
// They are put where they belong; the places of all others are left empty.
func (h *hashes) begin(b ArchivedBase) error {
	if err := h.cut(0); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count = tlog.StoredHashCount(b.Size)
	if h.file == nil {
		h.mem = make([]tlog.Hash, h.count)
	}
	_, places := subtrees(b.Size)
	for i, at := range places {
		if h.file == nil {
			h.mem[at] = b.Roots[i]
		} else if _, err := h.file.WriteAt(b.Roots[i][:], at*tlog.HashSize); err != nil {
			return err
		}
	}
	return nil
}

func (h *hashes) append(add []tlog.Hash) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		h.mem = append(h.mem, add...)
	} else {
		h.buf = h.buf[:0]
		for i := range add {
			h.buf = append(h.buf, add[i][:]...)
		}
		if _, err := h.file.WriteAt(h.buf, h.count*tlog.HashSize); err != nil {
			return err
		}
	}
	h.count += int64(len(add))
	return nil
}

// ReadHashes makes hashes a tlog.HashReader.
func (h *hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= h.count {
			return nil, fmt.Errorf("stored hash %d: %w", x, io.ErrUnexpectedEOF)
		}
		if h.file == nil {
			out[i] = h.mem[x]
		} else if _, err := h.file.ReadAt(out[i][:], x*tlog.HashSize); err != nil {
			return nil, err
		}
		if out[i] == (tlog.Hash{}) {
			return nil, fmt.Errorf("stored hash %d is of entries that were archived, and was lost since", x)
		}
	}
	return out, nil
}

// sync puts what was appended on disk. Hashes that a power cut tore holes into would be taken for
// another history.
func (h *hashes) sync() error {
	if h.file == nil {
		return nil
	}
	return h.file.Sync()
}

func (h *hashes) close() error {
	if h.file == nil {
		return nil
	}
	return h.file.Close()
}

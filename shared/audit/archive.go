package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/file"
	"github.com/provisioning-platform/platform/shared/store"
)

// An archive is a folder in the form of C2SP's tlog-tiles: checkpoint (a head that is signed for
// its very size), tile/L/N (hashes) and tile/entries/N (entries, each behind its length in two
// bytes). Beside them archive.json says where the entries begin and ties the head to a cosigned
// one.
const (
	tileHeight = 8 // of the logarithm: 256 entries or hashes a tile
	tileWidth  = 1 << tileHeight
	entryBytes = 1<<16 - 1 // of an entry in a tile

	checkpointFile = "checkpoint"
	archiveFile    = "archive.json"

	archiveAction = "audit.archive"
)

// archivePrefix is the beginning of the entry that records an archive.
var archivePrefix = []byte(`{"action":"` + archiveAction + `"`)

// archiveNote is the content of archive.json.
type archiveNote struct {
	First     int64       `json:"first"`               // index of the first entry in the folder
	Witnessed string      `json:"witnessed,omitempty"` // a cosigned head
	Proof     []tlog.Hash `json:"proof,omitempty"`     // that checkpoint is its beginning
}

// Archived says what an Archive did. Through is the number of entries that are in archives now;
// it equals First when there was nothing to archive.
type Archived struct {
	First   int64  `json:"first"`
	Through int64  `json:"through"`
	Root    string `json:"root"`
	Folder  string `json:"folder"`
}

// Archive writes the entries that are older than before into folder, verifies what it wrote, and
// only then trims them from the stream, in one commit with the audit entry of that. It goes up to
// the last full tile that is signed, that the peer has cosigned (if it ever did) and that every
// follower has handled. A folder with an earlier archive of this log is continued.
func (l *Log) Archive(ctx context.Context, folder string, before time.Time) (Archived, error) {
	if l.dir == "" {
		return Archived{}, fault.New(fault.Invalid, "audit.memory", "a log in memory ends with its process; there is nothing to archive")
	}
	if err := l.step(ctx); err != nil {
		return Archived{}, err
	}
	if l.failed != nil {
		return Archived{}, l.failed
	}
	through, err := l.archivable(ctx, before)
	done := Archived{First: l.base.Size, Through: through, Folder: folder}
	if err != nil || through == l.base.Size {
		return done, err
	}
	root, err := l.rootAt(through)
	if err != nil {
		return done, err
	}
	done.Root = root.String()
	if err := l.writeArchive(ctx, folder, through, root); err != nil {
		return done, fmt.Errorf("audit archive: %w", err)
	}
	if r, err := VerifyArchive(folder, l.keys.Public(), Public{}); err != nil || !r.OK {
		return done, errors.Join(err, fmt.Errorf("audit archive: what was written does not verify, and nothing was removed: %s", r.Text))
	}
	next, err := baseOf(through, l.hashes)
	if err != nil {
		return done, err
	}
	ctx = WithContext(ctx, &Context{Actor: ContextOf(ctx).Actor, Origin: l.service()})
	act := EntryDraft{Action: archiveAction, Resource: "logs/" + l.keys.origin,
		Details: map[string]any{"first": done.First, "folder": folder, "root": done.Root, "through": through}}
	if _, err = Update(ctx, l.db, &act, func(tx *store.Tx) error {
		tx.Trim(Stream, uint64(through))
		return bases.Save(tx, next)
	}); err != nil {
		return done, err
	}
	l.base = next
	return done, l.step(ctx)
}

// archivable returns how many entries, from the first on, may be in archives.
func (l *Log) archivable(ctx context.Context, before time.Time) (int64, error) {
	most := l.signed.Size
	if l.witnessed.Size > 0 {
		most = min(most, l.witnessed.Size)
	}
	for row, err := range feed.Cursors.All(ctx, l.db, store.Query{}) {
		if err != nil {
			return 0, err
		}
		if row.Value.Stream == Stream {
			most = min(most, int64(row.Value.Seq))
		}
	}
	var failed error
	old := sort.Search(int(max(0, most-l.base.Size)), func(i int) bool {
		page, err := l.db.Read(ctx, Stream, uint64(l.base.Size)+uint64(i), 1)
		if failed = errors.Join(failed, err); err != nil || len(page.Entries) == 0 {
			return true
		}
		var e struct{ Time time.Time }
		return json.Unmarshal(page.Entries[0].Body, &e) == nil && !e.Time.Before(before)
	})
	return (l.base.Size + int64(old)) / tileWidth * tileWidth, failed
}

// writeArchive writes the folder and keeps what an earlier archive has written there.
func (l *Log) writeArchive(ctx context.Context, folder string, through int64, root tlog.Hash) error {
	note, err := readArchive(folder, l.base.Size)
	if err != nil {
		return err
	}
	if note.First > l.base.Size {
		return fmt.Errorf("%s begins with entry %d, the log with %d: give another folder", folder, note.First, l.base.Size)
	}
	for at := l.base.Size; at < through; at += tileWidth {
		page, err := l.db.Read(ctx, Stream, uint64(at), tileWidth)
		if err != nil {
			return err
		}
		bundle, err := bundleOf(page.Entries, at)
		if err != nil {
			return err
		}
		if err := writeTile(folder, entriesPath(at/tileWidth), bundle); err != nil {
			return err
		}
	}
	for _, t := range tlog.NewTiles(tileHeight, 0, through) {
		if t.L == 0 && t.N < l.base.Size/tileWidth {
			continue
		}
		data, err := tlog.ReadTileData(t, l.hashes)
		if err != nil {
			return fmt.Errorf("the hashes of entries that were archived before are lost, so only a copy of this folder from before can "+
				"go on: %w", err)
		}
		if err := writeTile(folder, tilePath(t), data); err != nil {
			return err
		}
	}
	if l.witnessed.Size >= through {
		note.Witnessed = l.witnessed.Note
		if note.Proof, err = l.consistency(through, l.witnessed.Size); err != nil {
			return err
		}
	}
	var data bytes.Buffer
	if err := json.NewEncoder(&data).Encode(note); err != nil {
		return err
	}
	head, err := l.keys.signHead(through, root)
	if err != nil {
		return err
	}
	if err := file.Write(folder, archiveFile, data.Bytes()); err != nil {
		return err
	}
	return file.Write(folder, checkpointFile, []byte(head.Note))
}

// readArchive returns archive.json, or one that begins with first when the folder has none.
func readArchive(folder string, first int64) (archiveNote, error) {
	n := archiveNote{First: first}
	data, err := file.Read(folder, archiveFile)
	if err == nil && data != nil {
		n = archiveNote{}
		err = exactly(archiveFile, data, &n)
	}
	return n, err
}

// bundleOf returns the bytes of a tile of entries, the first of which has the index at.
func bundleOf(entries []store.Entry, at int64) ([]byte, error) {
	if len(entries) != tileWidth || int64(entries[0].Seq) != at+1 {
		return nil, fmt.Errorf("entries from index %d on are missing; run audit verify", at)
	}
	var b []byte
	for _, e := range entries {
		if len(e.Body) > entryBytes {
			return nil, fmt.Errorf("the entry with index %d has %d bytes, a tile holds at most %d", e.Seq-1, len(e.Body), entryBytes)
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(e.Body))), e.Body...)
	}
	return b, nil
}

// splitBundle returns the entries of a tile.
func splitBundle(data []byte) ([][]byte, error) {
	var out [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, errors.New("a tile of entries is cut off")
		}
		n := int(binary.BigEndian.Uint16(data))
		out, data = append(out, data[2:2+n]), data[2+n:]
	}
	return out, nil
}

// tilePath returns where a tile of hashes lies: tlog's path without the height.
func tilePath(t tlog.Tile) string {
	return "tile/" + strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", tileHeight))
}

// entriesPath returns where the n-th tile of entries lies.
func entriesPath(n int64) string {
	return "tile/entries/" + strings.TrimPrefix(tilePath(tlog.Tile{H: tileHeight, N: n, W: tileWidth}), "tile/0/")
}

// writeTile writes a file below folder. The file is on disk when writeTile returns.
func writeTile(folder, path string, data []byte) error {
	place := filepath.Join(folder, filepath.Dir(filepath.FromSlash(path)))
	if err := os.MkdirAll(place, 0o700); err != nil {
		return err
	}
	return file.Write(place, filepath.Base(path), data)
}

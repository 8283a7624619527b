package audit

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"
)

// VerifyArchive reads an archive and compares it with its own head, and with the peer's
// cosignature when its keys are given. It needs nothing but the folder and the keys. An error
// means that it could not even look.
func VerifyArchive(folder string, log, peer Public) (Report, error) {
	c := &check{VerifyOptions: VerifyOptions{Log: log, Peer: peer}, report: Report{Origin: log.Origin()}}
	if err := log.check(); err != nil {
		return Report{}, err
	}
	signed, err := os.ReadFile(filepath.Join(folder, checkpointFile))
	if err != nil {
		return Report{}, err
	}
	note, err := readArchive(folder, 0)
	if f := (*exportFault)(nil); errors.As(err, &f) {
		c.found(f.verdict, nil, "%s", f.text)
		return c.report, nil
	}
	if err != nil {
		return Report{}, err
	}
	head, err := openHead(string(signed), log)
	if err != nil {
		c.found(foundBadHead, nil, "the checkpoint of the archive cannot be verified with the given keys: %v", err)
		return c.report, nil
	}
	c.report.Root, c.report.Signed = head.Root.String(), head.Size
	if note.First < 0 || note.First%tileWidth != 0 || note.First >= head.Size {
		c.found(foundMalformed, nil, "%s says that the archive begins with index %d, and it ends before %d: it would hold nothing",
			archiveFile, note.First, head.Size)
	}
	c.witnessedArchive(note, head)
	tiles := tlog.TileHashReader(tlog.Tree{N: head.Size, Hash: head.Root}, tileFolder(folder))
	for at := note.First; at < head.Size && c.report.Verdict == ""; at += tileWidth {
		c.archivedTile(folder, at, tiles)
	}
	if c.report.Verdict == "" {
		c.found(foundIntact, nil, "the %d entries with index %d to %d are what was signed", c.report.Entries, note.First, head.Size-1)
		c.report.OK = true
	}
	return c.report, nil
}

// witnessedArchive compares the head of an archive with the cosigned head beside it.
func (c *check) witnessedArchive(note archiveNote, head Head) {
	if note.Witnessed == "" {
		if c.Peer.Witness != "" {
			c.report.Notes = append(c.report.Notes, "the archive holds no cosigned head")
		}
		return
	}
	var witnesses []Public
	if c.Peer.Witness != "" {
		witnesses = append(witnesses, c.Peer)
	}
	w, err := openHead(note.Witnessed, c.Log, witnesses...)
	if err == nil {
		err = checkConsistency(note.Proof, head, w)
	}
	if err != nil {
		c.found(foundRewritten, nil, "the archive's head of size %d is not the beginning of the cosigned one beside it: %v", head.Size, err)
		return
	}
	c.report.Witnessed = head.Size
}

// archivedTile compares the entries of one tile with what the head says.
func (c *check) archivedTile(folder string, at int64, tiles tlog.HashReader) {
	data, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(entriesPath(at/tileWidth))))
	if err != nil {
		c.found(foundTruncated, &at, "the entries from index %d on cannot be read: %v", at, err)
		return
	}
	entries, err := splitBundle(data)
	if err != nil || len(entries) != tileWidth {
		c.found(foundTruncated, &at, "the tile of entries from index %d on has %d entries, not %d (%v)", at, len(entries), tileWidth, err)
		return
	}
	indexes := make([]int64, tileWidth)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, at+int64(i))
	}
	want, err := tiles.ReadHashes(indexes)
	if err != nil {
		c.found(foundFlipped, &at, "the hashes of the entries from index %d on do not lead to the signed root: %v", at, err)
		return
	}
	for i, body := range entries {
		if tlog.RecordHash(body) != want[i] {
			index := at + int64(i)
			c.found(foundFlipped, &index, "the entry with index %d is not the one that was signed", index)
			return
		}
	}
	c.report.Entries += tileWidth
}

// tileFolder reads the tiles of an archive; it is a tlog.TileReader.
type tileFolder string

// Height implements tlog.TileReader.
func (tileFolder) Height() int { return tileHeight }

// ReadTiles implements tlog.TileReader.
func (f tileFolder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		data, err := os.ReadFile(filepath.Join(string(f), filepath.FromSlash(tilePath(t))))
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

// SaveTiles implements tlog.TileReader: nothing is cached.
func (tileFolder) SaveTiles([]tlog.Tile, [][]byte) {}

package pebblestore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The engine replays a log until the first chunk that is not whole. Whether that is the torn end of
// a process that was killed, or damage in front of commits that were acknowledged, it decides by
// what later 32 KiB blocks say; within the last block it always takes it for the end (tried). So
// the logs are looked through once more before the engine opens them: a chunk of the newest format
// notes how far the log was synced when it was written, and a whole chunk behind the place which
// notes a sync beyond it proves that the place was once good.

// Chunks: checksum 4, length 2, encoding 1, log number 4, synced offset 8, all little-endian; the
// last two came with later formats. No chunk crosses a block.
const (
	logBlock    = 32 << 10
	oldHeader   = 7
	numHeader   = 11
	syncHeader  = 19
	firstNumEnc = 5
	firstSync   = 9
	lastSync    = 12
)

// checkLogs looks for damage in all logs of the folder.
func checkLogs(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	crc := crc32.MakeTable(crc32.Castagnoli)
	for _, name := range names {
		text, isLog := strings.CutSuffix(name, ".log")
		number, err := strconv.ParseUint(text, 10, 64)
		if !isLog || err != nil {
			continue
		}
		content, err := readFile(fs, fs.PathJoin(dir, name))
		if err != nil {
			return err
		}
		l := walLog{content: content, number: uint32(number), table: crc}
		if at, bad := l.damage(); bad {
			return errCorrupt.Because(fmt.Errorf("log %s is damaged at offset %d: later commits say that this place was synced",
				fs.PathJoin(dir, name), at))
		}
	}
	return nil
}

func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(f)
	return content, firstError(err, f.Close())
}

// walLog is one log file in memory.
type walLog struct {
	content []byte
	number  uint32
	table   *crc32.Table
}

// damage returns the place of the first chunk that is not whole though it was synced.
func (l walLog) damage() (at int, bad bool) {
	for at < len(l.content) {
		if left := logBlock - at%logBlock; left < syncHeader && allZero(l.content[at:min(at+left, len(l.content))]) {
			at += left // no header fits in what is left of the block
			continue
		}
		size, _ := l.chunk(at)
		if size == 0 {
			return at, l.syncedBeyond(at)
		}
		at += size
	}
	return 0, false
}

// chunk returns the length of the whole chunk that starts at at, 0 when there is none, and the
// synced offset that it notes.
func (l walLog) chunk(at int) (size int, synced uint64) {
	end := min(at-at%logBlock+logBlock, len(l.content))
	if at+oldHeader > end {
		return 0, 0
	}
	c := l.content[at:end]
	header := oldHeader
	switch enc := c[6]; {
	case enc == 0 || enc > lastSync:
		return 0, 0
	case enc >= firstSync:
		header = syncHeader
	case enc >= firstNumEnc:
		header = numHeader
	}
	size = header + int(binary.LittleEndian.Uint16(c[4:]))
	if size > len(c) || header > oldHeader && binary.LittleEndian.Uint32(c[7:]) != l.number {
		return 0, 0
	}
	sum := crc32.Update(0, l.table, c[6:size])
	if (sum>>15|sum<<17)+0xa282ead8 != binary.LittleEndian.Uint32(c) {
		return 0, 0
	}
	if header == syncHeader {
		synced = binary.LittleEndian.Uint64(c[numHeader:])
	}
	return size, synced
}

// syncedBeyond says whether a whole chunk anywhere behind at notes a sync beyond at.
func (l walLog) syncedBeyond(at int) bool {
	mark := binary.LittleEndian.AppendUint32(nil, l.number)
	for from := at + 1; from < len(l.content); {
		hit := bytes.Index(l.content[from:], mark)
		if hit < 0 {
			return false
		}
		start := from + hit - oldHeader // the number stands behind the old header
		from += hit + 1
		if start <= at {
			continue
		}
		if size, synced := l.chunk(start); size > 0 && synced > uint64(at) {
			return true
		}
	}
	return false
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

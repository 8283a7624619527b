package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/file"
	"github.com/provisioning-platform/platform/shared/store"
)

// exportFormat names the first line of an export.
const exportFormat = "provisioning-audit-export/1"

// maxExportLine is longer than any line of an export: an entry of which every byte is escaped, and
// its frame.
const maxExportLine = 8*store.MaxEntry + 1024

// exportHeader is the first line of an export: what the entries below it are to be compared with.
type exportHeader struct {
	Format string        `json:"format"`
	Heads  []string      `json:"heads"`          // the newest signed and the newest cosigned head
	Keys   Public        `json:"keys"`           // for convenience; who verifies uses keys from elsewhere
	Base   *ArchivedBase `json:"base,omitempty"` // of what was archived: the entries begin behind it
}

// exportLine is one entry of an export.
type exportLine struct {
	Entry    string `json:"entry"` // the bytes that were hashed
	Index    int64  `json:"index"`
	LeafHash string `json:"leaf_hash"`
}

// Export writes the log of a data folder, up to its newest signed head, as JSON lines; Verify with
// VerifyOptions.Export checks it without folder and service. Of the options Read, Dir, ArchivedBase
// and Log are used. It verifies nothing itself: what is damaged is exported damaged. A log of which
// nothing is signed is a Conflict.
func Export(ctx context.Context, o VerifyOptions, w io.Writer) error {
	head, size := exportHeader{Format: exportFormat, Heads: []string{}, Keys: o.Log}, int64(0)
	for _, name := range []string{"treehead", "witnessed"} {
		note, err := file.Read(o.Dir, name)
		if err != nil {
			return err
		}
		if note == nil {
			continue
		}
		h, err := openHead(string(note), o.Log)
		if err != nil {
			return fmt.Errorf("audit export: DIR/audit/%s: %w", name, err)
		}
		head.Heads, size = append(head.Heads, string(note)), max(size, h.Size)
	}
	if size == 0 {
		return fault.New(fault.Conflict, "audit.nothing_signed",
			"nothing of this log is signed yet, so there is nothing to export; a running service signs within a second")
	}
	if o.Base.Size > 0 {
		head.Base = &o.Base
	}
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	if err := enc.Encode(head); err != nil {
		return err
	}
	for at := o.Base.Size; at < size; {
		page, err := o.Read(ctx, Stream, uint64(at), tileWidth)
		if err != nil {
			return err
		}
		if len(page.Entries) == 0 || int64(page.Entries[0].Seq) != at+1 {
			return fmt.Errorf("audit export: the entry with index %d is missing; run audit verify", at)
		}
		for _, e := range page.Entries {
			if at = int64(e.Seq); at > size {
				break
			}
			if err := enc.Encode(exportLine{Entry: string(e.Body), Index: at - 1, LeafHash: LeafHash(e.Body)}); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

// exportReader reads what Export wrote, line by line. Every line must be spelled as Export spells
// it, so that no other reader can take it for something else: no member twice, none that is
// unknown, none in another case.
type exportReader struct {
	in   *bufio.Reader
	next int64 // index of the entry on the next line
}

// exportFault is what is wrong with an export or an archive itself, as opposed to the log in it.
type exportFault struct {
	verdict Finding
	text    string
}

func (f *exportFault) Error() string { return f.text }

func newExportReader(r io.Reader) *exportReader {
	return &exportReader{in: bufio.NewReaderSize(r, maxExportLine)}
}

// line decodes the next line into v; io.EOF is the end.
func (x *exportReader) line(what string, v any) error {
	raw, err := x.in.ReadSlice('\n')
	switch {
	case err == io.EOF && len(raw) == 0:
		return io.EOF
	case err == io.EOF:
		return &exportFault{foundIncomplete, "the export ends in the middle of " + what}
	case errors.Is(err, bufio.ErrBufferFull):
		return &exportFault{foundMalformed, fmt.Sprintf("%s is longer than %d bytes", what, maxExportLine)}
	case err != nil:
		return err
	}
	return exactly(what, raw, v)
}

// exactly decodes a line into v and refuses one that is spelled otherwise than encoding v spells
// it.
func exactly(what string, line []byte, v any) error {
	if err := json.Unmarshal(line, v); err != nil {
		return &exportFault{foundMalformed, fmt.Sprintf("%s cannot be read: %v", what, err)}
	}
	var again bytes.Buffer
	if err := json.NewEncoder(&again).Encode(v); err != nil {
		return err
	}
	if !bytes.Equal(again.Bytes(), line) {
		return &exportFault{foundMalformed, what +
			" is not spelled as it was written: a member is unknown, stands twice or is written otherwise, so other programs may read " +
			"something else"}
	}
	return nil
}

// header reads the first line.
func (x *exportReader) header() (h exportHeader, err error) {
	err = x.line("its first line", &h)
	switch {
	case err == io.EOF:
		err = &exportFault{foundIncomplete, "the export is empty"}
	case err == nil && h.Format != exportFormat:
		err = &exportFault{foundMalformed, fmt.Sprintf("its first line does not say %q", exportFormat)}
	case err == nil && h.Base != nil && h.Base.Size <= 0:
		err = &exportFault{foundMalformed, "its first line begins behind entries that there never were"}
	}
	return h, err
}

// read makes an export readable as a store's stream is, once and from its beginning.
func (x *exportReader) read(_ context.Context, _ string, _ uint64, limit int) (page store.Entries, err error) {
	for len(page.Entries) < limit {
		var l exportLine
		err := x.line(fmt.Sprintf("the line of the entry with index %d", x.next), &l)
		switch {
		case err == io.EOF:
			return page, nil
		case err != nil:
			return page, err
		case l.Index != x.next:
			return page, &exportFault{foundMalformed,
				fmt.Sprintf("where the entry with index %d is due stands the one with index %d", x.next, l.Index)}
		case l.LeafHash != LeafHash([]byte(l.Entry)):
			return page, &exportFault{foundMalformed,
				fmt.Sprintf("the line of the entry with index %d states another leaf hash than its entry has", l.Index)}
		}
		x.next++
		page.Entries = append(page.Entries, store.Entry{Seq: uint64(x.next), Body: []byte(l.Entry)})
		page.Head = uint64(x.next)
	}
	return page, nil
}

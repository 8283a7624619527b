package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sort"

	"github.com/provisioning-platform/platform/shared/store"
)

// exportFormat names the first line of an export.
const exportFormat = "provisioning-audit-export/1"

// exportHeader is the first line of an export: what the entries below it are to be compared with.
type exportHeader struct {
	Format string   `json:"format"`
	Heads  []string `json:"heads"`          // the newest signed and the newest cosigned head
	Keys   Public   `json:"keys"`           // for convenience; who verifies uses keys from elsewhere
	Base   *Base    `json:"base,omitempty"` // of what was archived: the entries begin behind it
}

// exportLine is one entry of an export.
type exportLine struct {
	Entry    string `json:"entry"` // the bytes that were hashed
	Index    int64  `json:"index"`
	LeafHash string `json:"leaf_hash"`
}

// Export writes the log of a data folder, up to its newest signed head, as JSON lines; Verify of ReadExport checks it
// without folder and service. Of the options Read, Dir, Base and Log are used. It verifies nothing itself: what is damaged is
// exported damaged.
func Export(ctx context.Context, o VerifyOptions, w io.Writer) error {
	head, size := exportHeader{Format: exportFormat, Heads: []string{}, Keys: o.Log}, int64(0)
	for _, name := range []string{"treehead", "witnessed"} {
		note, err := readFile(o.Dir, name)
		if err != nil {
			return err
		}
		if note == nil {
			continue
		}
		h, err := OpenHead(string(note), o.Log)
		if err != nil {
			return fmt.Errorf("audit export: DIR/audit/%s: %w", name, err)
		}
		head.Heads, size = append(head.Heads, string(note)), max(size, h.Size)
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
		page, err := o.Read(ctx, Stream, uint64(at), readAtOnce)
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

// Exported is an export in memory, ready to be verified.
type Exported struct {
	Heads   []string
	Keys    Public // as the export claims; use keys from elsewhere to verify
	Base    Base
	entries []store.Entry
}

// ReadExport reads what Export wrote.
func ReadExport(r io.Reader) (*Exported, error) {
	in := json.NewDecoder(r)
	var head exportHeader
	if err := in.Decode(&head); err != nil {
		return nil, fmt.Errorf("audit export: %w", err)
	}
	if head.Format != exportFormat {
		return nil, fmt.Errorf("audit export: the first line does not say %q", exportFormat)
	}
	x := &Exported{Heads: head.Heads, Keys: head.Keys}
	if head.Base != nil {
		x.Base = *head.Base
	}
	for {
		var line exportLine
		if err := in.Decode(&line); err == io.EOF {
			return x, nil
		} else if err != nil {
			return nil, fmt.Errorf("audit export, after %d entries: %w", len(x.entries), err)
		}
		x.entries = append(x.entries, store.Entry{Seq: uint64(line.Index) + 1, Body: []byte(line.Entry)})
	}
}

// Read makes an export readable as a store's stream is; it is VerifyOptions.Read.
func (x *Exported) Read(_ context.Context, _ string, after uint64, limit int) (store.Entries, error) {
	from := sort.Search(len(x.entries), func(i int) bool { return x.entries[i].Seq > after })
	page := store.Entries{Entries: x.entries[from:min(len(x.entries), from+limit)]}
	if n := len(x.entries); n > 0 {
		page.Head = x.entries[n-1].Seq
	}
	return page, nil
}

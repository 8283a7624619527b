package audit

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
)

// Copied is a run of entries of the own log on its way to the other service's index, which puts each under its
// origin and index, so that one that comes twice is one row.
type Copied struct {
	Entries [][]byte
	First   int64 // index of the first entry; the others follow without a gap

	buf []byte // of JSON, used again
}

// JSON returns the request that carries c, good until the next call: every entry a text of its exact bytes. It is written
// by hand because there are two entries a task, and encoding/json takes five times as long.
func (c *Copied) JSON() []byte {
	out := append(c.buf[:0], `{"entries":[`...)
	for i, e := range c.Entries {
		if i > 0 {
			out = append(out, ',')
		}
		out = canonical.AppendString(out, e)
	}
	c.buf = append(strconv.AppendInt(append(out, `],"first":`...), c.First, 10), '}')
	return c.buf
}

// copierName is the name of the cursor of NewCopier.
const copierName = "audit-copy"

// NewCopier returns the follower that sends every entry of db's log to the other service,
// at least once and in order. send returns nil when the receiver has stored them, and then does not keep what it was given.
func NewCopier(db *feed.Hub, log *slog.Logger, send func(context.Context, *Copied) error) *feed.Follower {
	c := &Copied{}
	return &feed.Follower{
		Name: copierName, Stream: Stream, DB: db, Batch: store.MaxPage, Every: time.Second, Linger: copyLinger, Log: log,
		Handle: func(ctx context.Context, entries []store.Entry) error {
			for len(entries) > 0 {
				c.First, c.Entries = int64(entries[0].Seq)-1, c.Entries[:0]
				for size := 0; len(entries) > 0; entries = entries[1:] {
					size += quoted(entries[0].Body)
					if size > copyBytes && len(c.Entries) > 0 {
						break
					}
					c.Entries = append(c.Entries, entries[0].Body)
				}
				err := send(ctx, c)
				clear(c.Entries)
				if err != nil {
					c.buf = nil // a request that failed may be read still
					return err
				}
			}
			return nil
		},
	}
}

// copyLinger is how far the copy may stay behind for the sake of larger runs, or ten times that while entries keep coming:
// each run costs a request here and a synced commit there, and an outcome costs least when it comes with its intent.
const copyLinger = 100 * time.Millisecond

// copyBytes bounds the entries of one Copied, quoted as they travel: well below what the receiver's route takes in one
// body (16 MiB), for a larger one would be refused again and again; and large, because intent and outcome of an act
// are joined cheapest when they come together.
const copyBytes = 4 << 20

// quoted returns what an entry takes at most as a JSON string inside a request: a quote or a backslash takes two
// bytes, and an encoder that thinks of HTML makes six of an angle bracket.
func quoted(entry []byte) int {
	n := 2*len(entry) + len(`"",`)
	for _, c := range []string{"<", ">", "&"} {
		n += 4 * bytes.Count(entry, []byte(c))
	}
	return n
}

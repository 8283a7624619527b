package audit

import (
	"context"
	"log/slog"
	"time"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
)

// Copied is a run of entries of the own log on its way to the other service's index, which puts
// each under its origin and index, so that one that comes twice is one row.
type Copied struct {
	Entries []string
	First   int64 // index of the first entry; the others follow without a gap

	w canonical.Writer // of JSON, used again
}

// JSON returns the request that carries c. It is good until the next call, and has the exact bytes
// of every entry as a text.
func (c *Copied) JSON() []byte {
	c.w.Reset()
	c.w.Begin()
	c.w.List("entries", c.Entries)
	c.w.Number("first", c.First)
	c.w.End()
	return c.w.Body().Bytes()
}

// copierName is the name of the cursor of NewCopier.
const copierName = "audit-copy"

// NewCopier returns the follower that sends every entry of db's log to the other service, at least
// once and in order. send returns nil when the receiver has stored them, and then does not keep
// what it was given.
func NewCopier(db *feed.Hub, log *slog.Logger, send func(context.Context, *Copied) error) *feed.Follower {
	c := &Copied{}
	return &feed.Follower{
		Name: copierName, Stream: Stream, DB: db, Batch: store.MaxPage, Every: time.Second, Linger: copyLinger, Log: log,
		Handle: func(ctx context.Context, entries []store.Entry) error {
			for len(entries) > 0 {
				c.First, c.Entries = int64(entries[0].Seq)-1, c.Entries[:0]
				for size := 0; len(entries) > 0; entries = entries[1:] {
					size += 2*len(entries[0].Body) + len(`"",`)
					if size > copyBytes && len(c.Entries) > 0 {
						break
					}
					c.Entries = append(c.Entries, string(entries[0].Body))
				}
				err := send(ctx, c)
				clear(c.Entries)
				if err != nil {
					c.w = canonical.Writer{} // a request that failed may be read still
					return err
				}
			}
			return nil
		},
	}
}

// copyLinger is how far the copy may stay behind for the sake of larger runs, or ten times that
// while entries keep coming: each run costs a request here and a synced commit there, and an
// outcome costs least when it comes with its intent.
const copyLinger = 100 * time.Millisecond

// copyBytes bounds the entries of one Copied, quoted as they travel, where a quote or a backslash
// takes two bytes: well below what the receiver's route takes in one body (16 MiB), for a larger
// one would be refused again and again; and large, because intent and outcome of an act are joined
// cheapest when they come together.
const copyBytes = 4 << 20

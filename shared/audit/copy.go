package audit

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
)

// Copied is a run of entries of one log on its way to the other service's index. Entry texts are the
// exact bytes; the receiver puts each under origin and index, so that one that comes twice is one row.
type Copied struct {
	Entries []string `json:"entries"`
	First   int64    `json:"first"` // index of the first entry; the others follow without a gap
	Origin  string   `json:"origin"`
}

// NewCopier returns the follower that sends every entry of db's log, called origin, to the other service,
// at least once and in order. send returns nil when the receiver has stored them.
func NewCopier(db *feed.Hub, origin string, log *slog.Logger, send func(context.Context, Copied) error) *feed.Follower {
	return &feed.Follower{
		Name: "audit-copy", Stream: Stream, DB: db, Batch: store.MaxPage, Every: time.Second, Linger: copyLinger, Log: log,
		Handle: func(ctx context.Context, entries []store.Entry) error {
			for len(entries) > 0 {
				c := Copied{First: int64(entries[0].Seq) - 1, Origin: origin}
				size := 0
				for len(entries) > 0 && (size == 0 || size+quoted(entries[0].Body) <= copyBytes) {
					size += quoted(entries[0].Body)
					c.Entries = append(c.Entries, string(entries[0].Body))
					entries = entries[1:]
				}
				if err := send(ctx, c); err != nil {
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

package idempotency

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// KeyFile is the name of the file with Keys.Secret among the keys of a data folder.
const KeyFile = "idempotency"

// MaxKey is the most bytes of an Idempotency-Key.
const MaxKey = 256

const (
	maxAnswer  = 512 << 10        // bytes; of a larger answer a repeat runs again
	settleWait = 10 * time.Second // bounds a commit of Settle, whatever became of the client
)

// Records are the Idempotency-Keys of one service. It is built as a literal; DB must have this
// process as its only writer.
type Records struct {
	DB     store.DB
	Secret []byte // of the data folder: the key of Fingerprint
	Now    func() time.Time
	Log    *slog.Logger

	mu      sync.Mutex
	running map[string]string // guarded by mu: the fingerprints of the runs of this process, by id of the record
}

// Answer is the answer to a request. Object, of an answer that showed a secret, names what the
// secret is of; such an answer is kept without its body.
type Answer struct {
	Status int
	Type   string // content type; empty is that of the envelope
	Body   []byte
	Object string
}

// Fingerprint returns what a request is compared by: an HMAC-SHA-256 of query and body. Its secret
// makes it worthless to who has the store alone: a plain hash would let him try passwords (decision
// 50).
func (k *Records) Fingerprint(query string, body []byte) string {
	mac := hmac.New(sha256.New, k.Secret)
	_, _ = io.WriteString(mac, query+"\x00")
	_, _ = mac.Write(body)
	return id.Digest(k.Secret)[:8] + ":" + hex.EncodeToString(mac.Sum(nil))
}

// differ says whether two fingerprints are of different requests. Those made under different
// secrets, by the owner before of the same store, cannot be compared, and the client's word stands.
func differ(a, b string) bool {
	secretA, _, _ := strings.Cut(a, ":")
	secretB, _, _ := strings.Cut(b, ":")
	return secretA == secretB && a != b
}

// Begin begins the run of a request. scope says whose key it is and for what; print is the
// request's Fingerprint. When the run has been done, Begin returns its answer instead. While the
// first request runs it returns Conflict, for a key that another request had Invalid.
func (k *Records) Begin(ctx context.Context, scope, key, print string) (*Run, *Answer, error) {
	r := record{ID: id.Digest(scope + "\x00" + key), Body: print, State: stateOpen}
	if err := k.take(r.ID, print); err != nil {
		return nil, nil, err
	}
	row, err := records().Get(ctx, k.DB, r.ID)
	now, old := k.Now().UTC(), row.Value
	switch {
	case err != nil:
	case row.Rev == 0 || !now.Before(old.Expires):
		r.NewID, r.Expires = id.New(), now.Add(ttl)
		return &Run{keys: k, record: r, rev: row.Rev}, nil, nil
	case differ(old.Body, print):
		err = errOther
	case old.State != stateDone:
		r.NewID, r.Expires = old.NewID, old.Expires
		return &Run{keys: k, record: r, rev: row.Rev, open: true}, nil, nil
	}
	k.release(r.ID)
	return nil, &Answer{Status: old.Status, Type: old.Type, Body: []byte(old.Response), Object: old.Object}, err
}

var errOther = fault.New(fault.Invalid, "idempotency.other_body", "this Idempotency-Key was used with another body; use a fresh key")

// take enters a run, the only one under its key.
func (k *Records) take(recordID, print string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if other, runs := k.running[recordID]; runs {
		if differ(other, print) {
			return errOther
		}
		return fault.New(fault.Conflict, "idempotency.running",
			"the first request with this Idempotency-Key is still running; try again shortly").After(time.Second)
	}
	if k.running == nil {
		k.running = map[string]string{}
	}
	k.running[recordID] = print
	return nil
}

func (k *Records) release(recordID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.running, recordID)
}

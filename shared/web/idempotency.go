package web

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/store"
)

// claim is the document of one Idempotency-Key (decision 17). It is stored before the handler runs,
// so that what runs at most once is decided by the store. Fields stand in the order of their JSON
// names.
type idempotencyRecord struct {
	Body     string    `json:"body"`             // fingerprint of the request
	Epoch    string    `json:"epoch"`            // process that runs it
	Expires  time.Time `json:"expires"`          // 24 h after the first request
	ID       string    `json:"id"`               // hash of user, route and key
	NewID    string    `json:"new_id"`           // what NewID returns to the handler, the same in every run
	Object   string    `json:"object,omitempty"` // what the secret is of that the answer showed
	Response string    `json:"response"`         // the first answer; empty when it showed a secret
	Started  time.Time `json:"started"`          // of the run that holds the claim
	State    string    `json:"state"`
	Status   int       `json:"status"`
}

// States of a claim. Running goes to done, or to open when the run ended without a definite answer.
const (
	claimRunning = "running"
	claimDone    = "done"
	claimOpen    = "open"
)

// KeyFile is the name of the file with Config.Key among the keys of a data folder.
const KeyFile = "idempotency"

const (
	claimKind    = "idempotency"
	claimTTL     = 24 * time.Hour
	claimRun     = 60 * time.Second // a run of this process that is older has lost its claim
	maxClaimKey  = 256
	maxClaimBody = 512 << 10 // a larger answer is not kept; a repeat runs the handler again
)

// claims is the table of claims; the index lets the sweep find what has expired.
func idempotencyRecords() store.Table[idempotencyRecord] {
	return store.Table[idempotencyRecord]{
		Kind: claimKind,
		ID:   func(c idempotencyRecord) string { return c.ID },
		Index: func(c idempotencyRecord) []store.IndexKey {
			return []store.IndexKey{{Name: "expires", Value: instant.Format(c.Expires)}}
		},
	}
}

// Kinds returns what web stores; a service's schema includes it.
func Kinds() []store.Kind { return []store.Kind{{Name: claimKind, Indexes: []string{"expires"}}} }

// shownOnce is an output that shows a secret. Object names what the secret is of: a repeat is told
// so, and nothing more is kept of the answer.
type shownOnce interface{ Object() string }

// idempotent runs the handler under its Idempotency-Key: the first request runs, repeats get its answer.
func (x *request) idempotent(in any) error {
	keys := x.r.Header["Idempotency-Key"]
	if len(keys) > 1 || keys[0] == "" || len(keys[0]) > maxClaimKey {
		return fault.New(fault.Malformed, "idempotency.key", "there must be one Idempotency-Key, of 1 to %d bytes", maxClaimKey)
	}
	mine, err := x.claim(id.Digest((x.caller.ID() + "\x00" + x.ep.route.Op + "\x00" + x.r.URL.Path + "\x00" + keys[0])), x.print)
	if err != nil {
		return err
	}
	c := mine.Value
	switch {
	case c.State != claimDone:
		return x.runClaimed(mine, in)
	case c.Response == "":
		return fault.New(fault.Conflict, "idempotency.shown_once",
			"the first request with this Idempotency-Key was answered with status %d and a secret of %s, which was shown once and is not kept; use a fresh key for another", c.Status, c.Object)
	}
	x.c.Header("Idempotency-Replayed", "true")
	x.write(c.Status, "", []byte(c.Response))
	return nil
}

// fingerprint returns what the request is compared by. The key of the folder makes it worthless to
// who has the store alone: a plain hash would let him try passwords (decision 50).
func (x *request) fingerprint(body []byte) string {
	mac := hmac.New(sha256.New, x.s.cfg.Key)
	_, _ = io.WriteString(mac, x.r.URL.RawQuery+"\x00")
	_, _ = mac.Write(body)
	return id.Digest(x.s.cfg.Key)[:8] + ":" + hex.EncodeToString(mac.Sum(nil))
}

// differ says whether two fingerprints are of different requests. Those made under different keys,
// by the owner before of the same store, cannot be compared, and the client's word stands.
func differ(a, b string) bool {
	keyA, _, _ := strings.Cut(a, ":")
	keyB, _, _ := strings.Cut(b, ":")
	return keyA == keyB && a != b
}

// runClaimed calls the handler, keeps its answer and sends it.
func (x *request) runClaimed(mine store.Row[idempotencyRecord], in any) error {
	buf := x.s.codec.get()
	defer x.s.codec.put(buf)
	contentType, err := x.runNoted(mine, in, buf)
	if err == nil {
		x.write(x.ep.route.status(), contentType, buf.Bytes())
	}
	return err
}

// runNoted calls the handler, encodes its answer into buf and notes in the claim how it ended,
// before anybody hears of it.
func (x *request) runNoted(mine store.Row[idempotencyRecord], in any, buf *bytes.Buffer) (contentType string, err error) {
	end := mine.Value
	end.State = claimOpen // unless the handler ends with a definite answer: a repeat then looks for its own work, after a panic too
	defer func() { x.settle(mine.Rev, end) }()
	out, err := x.ep.route.Handle.call(context.WithValue(x.context(), newIDKey{}, end.NewID), in)
	if err != nil {
		if f := shown(err, x.caller.RequestID); definite(f.Kind) {
			x.s.codec.refuse(buf, f, x.caller.RequestID)
			end.State, end.Status, end.Response = claimDone, StatusOf(f.Kind), buf.String()
		}
		return "", err
	}
	if contentType, err = x.encode(buf, in, out); err != nil {
		return "", err
	}
	switch {
	case x.ep.route.ShowsSecret:
		end.State, end.Status, end.Object = claimDone, x.ep.route.status(), out.(shownOnce).Object()
	case buf.Len() <= maxClaimBody:
		end.State, end.Status, end.Response = claimDone, x.ep.route.status(), buf.String()
	}
	return contentType, nil
}

// definite says whether a refusal is the answer to the request, whoever repeats it and when. Who
// may not do it, has to sign in again or came too often may repeat it later under the same key.
func definite(k fault.Kind) bool {
	switch k {
	case fault.Unauthenticated, fault.Denied, fault.Throttled:
		return false
	}
	return StatusOf(k) < http.StatusInternalServerError
}

// claim takes the claim, or returns the one that is done. Others that run are a conflict.
func (x *request) claim(key, body string) (store.Row[idempotencyRecord], error) {
	ctx, db, t := x.context(), x.s.cfg.Store, idempotencyRecords()
	for range 8 { // lost races; each round another request has won
		row, err := t.Get(ctx, db, key)
		if err != nil {
			return row, err
		}
		now, c := x.s.now().UTC(), row.Value
		switch {
		case row.Rev == 0 || !now.Before(c.Expires):
			c = idempotencyRecord{ID: key, Body: body, NewID: id.New(), Expires: now.Add(claimTTL)}
		case differ(c.Body, body):
			return row, fault.New(fault.Invalid, "idempotency.other_body", "this Idempotency-Key was used with another body; use a fresh key")
		case c.State == claimDone:
			return row, nil
		case c.State == claimRunning && c.Epoch == x.s.epoch && now.Sub(c.Started) < claimRun:
			return row, fault.New(fault.Conflict, "idempotency.running", "the first request with this Idempotency-Key is still running; try again shortly").After(time.Second)
		}
		c.State, c.Epoch, c.Started = claimRunning, x.s.epoch, now
		w, err := t.Write(c, store.At(row.Rev))
		if err != nil {
			return row, err
		}
		receipt, err := db.Commit(ctx, store.Batch{Writes: []store.Write{w}})
		if err == nil {
			return store.Row[idempotencyRecord]{Value: c, Rev: receipt.Rev}, nil
		}
		if !fault.Is(err, fault.Conflict) {
			return row, err
		}
	}
	return store.Row[idempotencyRecord]{}, store.ErrConflict
}

// settle notes how the run of a claim ended. Failing to note it costs a repeat its replay, not its
// safety, so it is only logged; the client may be gone meanwhile.
func (x *request) settle(rev uint64, end idempotencyRecord) {
	w, err := idempotencyRecords().Write(end, store.At(rev))
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(x.context()), recordTimeout)
		defer cancel()
		_, err = x.s.cfg.Store.Commit(ctx, store.Batch{Writes: []store.Write{w}})
	}
	if err != nil {
		x.s.cfg.Log.WarnContext(x.context(), "idempotency claim not settled", "error", err)
	}
}

const (
	sweepEvery = 10 * time.Minute // expired claims are looked for
	sweepPage  = 32               // claims at once: each may hold an answer of maxClaimBody
)

// Run sweeps expired claims until ctx ends; then it returns nil. It is a component of the program.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		for n := sweepPage; n == sweepPage; {
			var err error
			if n, err = Sweep(ctx, s.cfg.Store, s.now()); err != nil && ctx.Err() == nil {
				s.cfg.Log.WarnContext(ctx, "expired idempotency claims could not be deleted", "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Sweep deletes claims that have expired, at most sweepPage of them, and says how many.
func Sweep(ctx context.Context, db store.DB, now time.Time) (int, error) {
	t := idempotencyRecords()
	rows, _, err := t.List(ctx, db, store.Query{Index: "expires", Limit: sweepPage})
	if err != nil {
		return 0, err
	}
	var b store.Batch
	for _, row := range rows {
		if row.Value.Expires.After(now) {
			break // the index is in the order of expiry
		}
		b.Writes = append(b.Writes, store.Write{Key: t.Key(row.Value.ID), Expect: store.At(row.Rev), Action: store.Delete})
	}
	if len(b.Writes) == 0 {
		return 0, nil
	}
	if _, err = db.Commit(ctx, b); err != nil {
		return 0, err
	}
	return len(b.Writes), nil
}

package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/store"
)

// claim is the document of one Idempotency-Key (decision 17). It is stored before the handler runs, so
// that what runs at most once is decided by the store. Fields stand in the order of their JSON names.
type claim struct {
	Body     string    `json:"body"`     // hash of the request body
	Epoch    string    `json:"epoch"`    // process that runs it
	Expires  time.Time `json:"expires"`  // 24 h after the first request
	ID       string    `json:"id"`       // hash of user, route and key
	NewID    string    `json:"new_id"`   // what NewID returns to the handler, the same in every run
	Response string    `json:"response"` // the first answer
	Started  time.Time `json:"started"`  // of the run that holds the claim
	State    string    `json:"state"`
	Status   int       `json:"status"`
}

// States of a claim. Running goes to done, or to open when the run ended without a definite answer.
const (
	claimRunning = "running"
	claimDone    = "done"
	claimOpen    = "open"
)

const (
	claimKind    = "idempotency"
	claimTTL     = 24 * time.Hour
	claimRun     = 60 * time.Second // a run of this process that is older has lost its claim
	maxClaimKey  = 256
	maxClaimBody = 512 << 10 // a larger answer is not kept; a repeat runs the handler again
)

// claims is the table of claims; the index lets the sweep find what has expired.
func claims() store.Table[claim] {
	return store.Table[claim]{
		Kind: claimKind,
		ID:   func(c claim) string { return c.ID },
		Index: func(c claim) []store.IndexKey {
			return []store.IndexKey{{Name: "expires", Value: instant.Format(c.Expires)}}
		},
	}
}

// Kinds returns what web stores; a service's schema includes it.
func Kinds() []store.Kind { return []store.Kind{{Name: claimKind, Indexes: []string{"expires"}}} }

// once runs the handler under its Idempotency-Key: the first request runs, repeats get its answer.
func (x *exchange) once(key string, body []byte, in any) error {
	if len(key) > maxClaimKey {
		return fault.New(fault.Malformed, "idempotency.key", "the Idempotency-Key is longer than %d bytes", maxClaimKey)
	}
	mine, err := x.claim(digest([]byte(x.caller.ID()+"\x00"+x.ep.route.Op+"\x00"+x.r.URL.Path+"\x00"+key)), digest(body))
	if err != nil {
		return err
	}
	if mine.Value.State == claimDone {
		x.c.Header("Idempotency-Replayed", "true")
		x.write(mine.Value.Status, "", []byte(mine.Value.Response))
		return nil
	}
	return x.runClaimed(mine, in)
}

// runClaimed calls the handler, keeps its answer and sends it.
func (x *exchange) runClaimed(mine store.Row[claim], in any) (err error) {
	finished := false
	defer func() {
		if !finished { // a panic: the outcome is unknown, a repeat looks for its own work
			x.settle(mine, claimOpen, 0, "")
		}
	}()
	out, err := x.ep.route.Handle.call(context.WithValue(x.context(), newIDKey{}, mine.Value.NewID), in)
	finished = true
	if err != nil {
		f := shown(err, x.caller.RequestID)
		if status := StatusOf(f.Kind); status < 500 && f.Kind != fault.Throttled {
			buf := x.s.codec.get()
			x.s.codec.refuse(buf, f, x.caller.RequestID)
			x.settle(mine, claimDone, status, buf.String())
			x.s.codec.put(buf)
		} else {
			x.settle(mine, claimOpen, 0, "")
		}
		return err
	}
	buf := x.s.codec.get()
	defer x.s.codec.put(buf)
	contentType, err := x.encode(buf, in, out)
	switch {
	case err != nil, buf.Len() > maxClaimBody:
		x.settle(mine, claimOpen, 0, "")
	default:
		x.settle(mine, claimDone, x.ep.route.status(), buf.String())
	}
	if err != nil {
		return err
	}
	x.write(x.ep.route.status(), contentType, bytes.Clone(buf.Bytes()))
	return nil
}

// claim takes the claim, or returns the one that is done. Others that run are a conflict.
func (x *exchange) claim(key, body string) (store.Row[claim], error) {
	ctx, db, t := x.context(), x.s.cfg.Store, claims()
	for range 8 { // lost races; each round another request has won
		row, err := t.Get(ctx, db, key)
		if err != nil {
			return row, err
		}
		now, c := x.s.now().UTC(), row.Value
		switch {
		case row.Rev == 0 || !now.Before(c.Expires):
			c = claim{ID: key, Body: body, NewID: id.New(), Expires: now.Add(claimTTL)}
		case c.Body != body:
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
			return store.Row[claim]{Value: c, Rev: receipt.Rev}, nil
		}
		if !fault.Is(err, fault.Conflict) {
			return row, err
		}
	}
	return store.Row[claim]{}, store.ErrConflict
}

// settle notes how the run of a claim ended. Failing to note it costs a repeat its replay, not its
// safety, so it is only logged; the client may be gone meanwhile.
func (x *exchange) settle(mine store.Row[claim], state string, status int, response string) {
	c := mine.Value
	c.State, c.Status, c.Response = state, status, response
	w, err := claims().Write(c, store.At(mine.Rev))
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(x.context()), recordTimeout)
		defer cancel()
		_, err = x.s.cfg.Store.Commit(ctx, store.Batch{Writes: []store.Write{w}})
	}
	if err != nil {
		x.s.cfg.Log.WarnContext(x.context(), "idempotency claim not settled", "error", err)
	}
}

// sweepEvery is how often expired claims are looked for.
const sweepEvery = 10 * time.Minute

// Run sweeps expired claims until ctx ends. It is a component of the program; the server serves without it.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	if s.cfg.Store == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	for {
		for n := store.MaxPage; n == store.MaxPage; {
			var err error
			if n, err = Sweep(ctx, s.cfg.Store, s.now()); err != nil && ctx.Err() == nil {
				s.cfg.Log.WarnContext(ctx, "expired idempotency claims could not be deleted", "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Sweep deletes claims that have expired, at most a page of them, and says how many.
func Sweep(ctx context.Context, db store.DB, now time.Time) (int, error) {
	t := claims()
	rows, _, err := t.List(ctx, db, store.Query{Index: "expires", Limit: store.MaxPage})
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

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

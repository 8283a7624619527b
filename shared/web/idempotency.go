package web

import (
	"bytes"
	"context"
	"net/http"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

// shownOnce is an output that shows a secret. Object names what the secret is of: a repeat is told
// so, and nothing more is kept of the answer.
type shownOnce interface{ Object() string }

// begin begins the run of a request with an Idempotency-Key. It says whether the request has been
// answered: a repeat gets the first answer.
func (x *request) begin() (answered bool, err error) {
	keys := x.r.Header["Idempotency-Key"]
	if len(keys) > 1 || keys[0] == "" || len(keys[0]) > idempotency.MaxKey {
		return false, fault.New(fault.Malformed, "idempotency.key", "there must be one Idempotency-Key, of 1 to %d bytes",
			idempotency.MaxKey)
	}
	run, first, err := x.s.keys.Begin(x.context(), x.caller.ID()+"\x00"+x.ep.route.Op+"\x00"+x.r.URL.Path, keys[0], x.fingerprint)
	switch {
	case err != nil:
		return false, err
	case run != nil:
		x.keyed = run
		x.scene.Settle = func(result string) ([]store.Write, error) { return run.Settlement(result == audit.Success) }
		return false, nil
	case first.Object != "":
		return false, fault.New(fault.Conflict, "idempotency.shown_once",
			"the first request with this Idempotency-Key was answered with status %d and a secret of %s, "+
				"which was shown once and is not kept; use a fresh key for another", first.Status, first.Object)
	}
	x.c.Header("Idempotency-Replayed", "true")
	x.write(first.Status, first.Type, first.Body)
	return true, nil
}

// tell says what the request will be answered, so that the commit of its work settles its key.
func (x *request) tell(status int, contentType string, body []byte, out any) {
	a := idempotency.Answer{Status: status, Type: contentType, Body: body}
	if once, ok := out.(shownOnce); ok && x.ep.route.ShowsSecret {
		a.Object, a.Body = once.Object(), nil
	}
	x.keyed.Tell(status < http.StatusBadRequest, a)
}

// settle keeps the answer of a request with a key, before anybody hears it. Failing to keep it
// costs a repeat its replay, not its safety, so the failure is only logged.
func (x *request) settle() {
	if err := x.keyed.Settle(x.context(), x.scene.Recorded()); err != nil {
		x.s.cfg.Log.WarnContext(x.context(), "idempotency key not settled", "error", x.logText(err))
	}
}

// definite says whether a refusal is the answer to the request, whoever repeats it and when. Who
// may not do it, has to sign in again or came too often may repeat it later under the same key, and
// so may who is told when to come again.
func definite(f *fault.Error) bool {
	switch f.Kind {
	case fault.Unauthenticated, fault.Denied, fault.Throttled:
		return false
	}
	return f.RetryAfter == 0 && StatusOf(f.Kind) < http.StatusInternalServerError
}

// NewID returns the id to create the request's main document under. Under an Idempotency-Key it is
// the same when the request is run again after its work was committed, so that the handler finds
// its own work; else it is fresh.
func NewID(ctx context.Context) string {
	if x := requestOf(ctx); x != nil && x.keyed != nil {
		return x.keyed.NewID()
	}
	return id.New()
}

// Answering says what the handler will return when its work is committed, so that this commit
// settles the request's Idempotency-Key, too. What the handler returns then must be the same.
// Without it the key is settled by a commit of its own behind the work.
func Answering(ctx context.Context, out any) {
	x := requestOf(ctx)
	if x == nil || x.keyed == nil {
		return
	}
	var buf bytes.Buffer
	if contentType, err := x.encode(&buf, nil, out); err == nil {
		x.tell(x.ep.route.status(), contentType, buf.Bytes(), out)
	}
}

// Claim stores the request's Idempotency-Key before the work, for work that goes on when the client
// has left and its request has ended. Without a key it does nothing.
func Claim(ctx context.Context) error {
	if x := requestOf(ctx); x != nil && x.keyed != nil {
		return x.keyed.Claim(ctx)
	}
	return nil
}

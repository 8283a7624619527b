package idempotency

import (
	"context"

	"github.com/provisioning-platform/platform/shared/store"
)

// Run is the one run of a request under its key. It belongs to the goroutine of the request.
type Run struct {
	keys    *Records
	record  record
	rev     uint64 // of the stored record
	open    bool   // the stored record is this one, open
	told    bool   // record has the answer
	success bool   // of the answer
	carried *record
}

// NewID returns the id to create the request's main document under, the same in every run under the
// key.
func (r *Run) NewID() string { return r.record.NewID }

// Tell says what the request will be answered, before the commit of its work. success says that the
// answer is no refusal. The last word before the commit counts.
func (r *Run) Tell(success bool, a Answer) {
	r.record.State, r.told, r.success = stateDone, true, success
	r.record.Status, r.record.Type, r.record.Response, r.record.Object = a.Status, a.Type, string(a.Body), a.Object
	if a.Object != "" {
		r.record.Response = ""
	}
	if len(a.Body) > maxAnswer {
		r.Untell()
	}
}

// Untell takes back what Tell said: a repeat runs again.
func (r *Run) Untell() {
	r.record.State, r.told, r.success = stateOpen, false, false
	r.record.Status, r.record.Type, r.record.Response, r.record.Object = 0, "", "", ""
}

// Settlement returns the write that settles the key in the commit of the request's work, or
// nothing. success says that the work is what was asked for, and not the record of a refusal. A
// commit of work whose answer is not known yet carries the key open, so that a repeat finds the
// work by NewID.
func (r *Run) Settlement(success bool) ([]store.Write, error) {
	r.carried = nil
	if r.told && r.success != success || !r.told && (!success || r.open) {
		return nil, nil
	}
	w, err := records().Write(r.record, store.At(r.rev))
	if err != nil {
		return nil, err
	}
	carried := r.record
	r.carried = &carried
	return []store.Write{w}, nil
}

// Claim stores the key before the work, for work that goes on when its request has ended.
func (r *Run) Claim(ctx context.Context) error {
	if r.open {
		return nil
	}
	open := r.record
	open.State = stateOpen
	err := r.commit(ctx, open)
	r.open = err == nil
	return err
}

// Settle keeps the answer that was told by a commit of its own, unless the commit of the work did.
// committed says that what Settlement returned last was committed. When Settle fails, a repeat runs
// again, under the same NewID if the work has been committed.
func (r *Run) Settle(ctx context.Context, committed bool) error {
	if !r.told {
		return nil
	}
	if committed && r.carried != nil {
		if *r.carried == r.record {
			return nil
		}
		row, err := records().Get(ctx, r.keys.DB, r.record.ID)
		if err != nil {
			return err
		}
		r.rev = row.Rev
	}
	return r.commit(ctx, r.record)
}

func (r *Run) commit(ctx context.Context, to record) error {
	w, err := records().Write(to, store.At(r.rev))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWait)
	defer cancel()
	receipt, err := r.keys.DB.Commit(ctx, store.Batch{Writes: []store.Write{w}})
	if err == nil {
		r.rev = receipt.Rev
	}
	return err
}

// End ends the run. Until then repeats hear that it runs.
func (r *Run) End() { r.keys.release(r.record.ID) }

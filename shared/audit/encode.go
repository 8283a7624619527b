// With encoding/json the two entries of a task take 24 µs more, of the 70 to 140 µs of CPU that a
// task takes (BenchmarkEncodeTo, ADR 4).

package audit

import (
	"cmp"
	"maps"
	"slices"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/naming"
	"github.com/provisioning-platform/platform/shared/store"
)

// maxText bounds every text of an entry outside its details in bytes, so that nobody can make an
// act unrecordable by naming it at length.
const maxText = 1024

// maxDetails is how many bytes the details of an entry take at most.
const maxDetails = store.MaxEntry / 2

// Encode returns the bytes of e, to be appended to Stream as they are: canonical JSON of at most
// entryBytes, one byte less than a stream takes. Details that do not fit are cut, and the entry
// names them in "truncated".
func (e Entry) Encode() ([]byte, error) {
	var w canonical.Writer
	return e.EncodeTo(&w)
}

// EncodeTo writes e into w and returns the bytes that Encode returns, which are good until w is
// reset.
func (e Entry) EncodeTo(w *canonical.Writer) ([]byte, error) {
	before := w.Mark()
	details, err := e.write(w)
	if err == nil && (details > maxDetails || w.Len() > entryBytes) {
		err = e.shorten(w, before)
	}
	if err != nil {
		w.Back(before)
		return nil, err
	}
	return w.Body().Bytes(), nil
}

// shorten writes e into w at before without the details that do not fit: a decision is needed
// whole.
func (e *Entry) shorten(w *canonical.Writer, before canonical.Mark) (err error) {
	e.Actor.AMR = e.Actor.AMR[:min(len(e.Actor.AMR), 16)]
	all := e.Details
	e.Details = nil
	w.Back(before)
	if _, err = e.write(w); err != nil {
		return err
	}
	rest := w.Len() + len(`,"details":`)
	if e.Details, err = fitting(all, min(maxDetails, entryBytes-rest)); err != nil {
		return err
	}
	w.Back(before)
	_, err = e.write(w)
	return err
}

// write writes e as it is, with its texts cut, and returns how many bytes its details take.
func (e *Entry) write(w *canonical.Writer) (details int, err error) {
	w.Begin()
	w.Always("action", clip(e.Action))
	e.Actor.write(w)
	w.Text("code", clip(e.Code))
	if e.Decision != nil {
		w.Object("decision")
		err = e.Decision.members(w)
		w.End()
	}
	if err == nil {
		before := w.Len()
		err = w.Map("details", e.Details)
		details = w.Len() - before - len(`,"details":`)
	}
	w.Always("id", clip(e.ID))
	w.Text("op", clip(e.Op))
	w.Text("op_id", clip(e.OpID))
	w.Always("origin", clip(e.Origin))
	w.Always("phase", string(e.Phase))
	w.Text("request_id", clip(e.RequestID))
	w.Always("resource", clip(e.Resource))
	w.Always("result", clip(e.Result))
	w.Instant("time", e.Time)
	w.Number("v", int64(e.V))
	w.End()
	return details, err
}

func (a *Actor) write(w *canonical.Writer) {
	w.Object("actor")
	amr := a.AMR
	if slices.ContainsFunc(amr, func(m string) bool { return len(m) > maxText }) {
		amr = slices.Clone(amr)
		for i := range amr {
			amr[i] = clip(amr[i])
		}
	}
	w.Some("amr", amr)
	w.Text("ip", clip(a.IP))
	w.Text("jti", clip(a.JTI))
	w.Text("sid", clip(a.SID))
	w.Text("sub", clip(a.Sub))
	w.Text("username", clip(a.Username))
	w.End()
}

// fitting returns details without the members that do not fit into limit bytes, the largest of
// which go first; the member "truncated" names 16 of them.
func fitting(details map[string]any, limit int) (map[string]any, error) {
	sizes := make(map[string]int, len(details))
	for k, v := range details {
		b, err := canonical.Make(v)
		if err != nil {
			return nil, err
		}
		sizes[k] = len(b) + len(k)
	}
	largest := slices.SortedFunc(maps.Keys(details), func(a, b string) int {
		return cmp.Or(cmp.Compare(sizes[b], sizes[a]), cmp.Compare(a, b))
	})
	kept, left := maps.Clone(details), []string{}
	for {
		b, err := canonical.Make(kept)
		if err != nil || len(b) <= limit || len(largest) == 0 {
			return kept, err
		}
		delete(kept, largest[0])
		if len(left) < 16 {
			left = append(left, clip(largest[0]))
		}
		kept["truncated"], largest = left, largest[1:]
	}
}

// clip returns s as an entry holds it.
func clip(s string) string { return naming.Clip(s, maxText) }

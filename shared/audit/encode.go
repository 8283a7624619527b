package audit

import (
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/store"
)

// maxText bounds every text of an entry outside its details, so that nobody can make an act
// unrecordable by naming it at length; a longer one is cut and ends in "…".
const maxText = 1024

// Encode returns the bytes of e, to be appended to Stream as they are: canonical JSON of at most
// entryBytes, one byte less than a stream takes (details are cut to fit, and say so in
// "truncated"). It is written by hand because the engine encodes two entries a task.
func (e Entry) Encode() ([]byte, error) { return e.AppendTo(nil) }

// AppendTo appends the bytes of Encode to b.
func (e Entry) AppendTo(b []byte) ([]byte, error) {
	var buf [256]byte // most details fit
	details, err := detailsJSON(buf[:0], e.Details, store.MaxEntry/2)
	if err != nil {
		return b, err
	}
	start := len(b)
	b = e.encode(slices.Grow(b, 512+len(details)), details)
	if len(b)-start <= entryBytes {
		return b, nil
	}
	if len(e.Actor.AMR) > 16 {
		e.Actor.AMR = e.Actor.AMR[:16]
	}
	// A decision is needed whole, so the details make buffer for it.
	rest := len(e.encode(b[:start], nil)) - start
	if details, err = detailsJSON(nil, e.Details, min(len(details), entryBytes-rest-len(`,"details":`))); err != nil {
		return b, err
	}
	return e.encode(b[:start], details), nil
}

func (e *Entry) encode(b, details []byte) []byte {
	b = text(append(b, `{"action":`...), e.Action)
	b = e.Actor.encode(append(b, `,"actor":`...))
	b = optional(b, `,"code":`, e.Code)
	if e.Decision != nil {
		b = e.Decision.encode(append(b, `,"decision":`...))
	}
	if len(details) > 0 {
		b = append(append(b, `,"details":`...), details...)
	}
	b = text(append(b, `,"id":`...), e.ID)
	b = optional(b, `,"op":`, e.Op)
	b = optional(b, `,"op_id":`, e.OpID)
	b = text(append(b, `,"origin":`...), e.Origin)
	b = text(append(b, `,"phase":`...), string(e.Phase))
	b = optional(b, `,"request_id":`, e.RequestID)
	b = text(append(b, `,"resource":`...), e.Resource)
	b = text(append(b, `,"result":`...), e.Result)
	b = instant.Append(append(b, `,"time":"`...), e.Time)
	b = strconv.AppendInt(append(b, `","v":`...), int64(e.V), 10)
	return append(b, '}')
}

func (a *Actor) encode(b []byte) []byte {
	b = append(b, '{')
	start := len(b)
	for i, m := range a.AMR {
		if i == 0 {
			b = append(b, `,"amr":[`...)
		} else {
			b = append(b, ',')
		}
		b = text(b, m)
	}
	if len(a.AMR) > 0 {
		b = append(b, ']')
	}
	b = optional(b, `,"ip":`, a.IP)
	b = optional(b, `,"jti":`, a.JTI)
	b = optional(b, `,"sid":`, a.SID)
	b = optional(b, `,"sub":`, a.Sub)
	b = optional(b, `,"username":`, a.Username)
	if len(b) > start { // the first member has no comma in front
		b = slices.Delete(b, start, start+1)
	}
	return append(b, '}')
}

// detailsJSON returns the details as canonical JSON of at most limit bytes, in buffer if they fit; members that do not
// fit into limit are left out, largest first, and named in the member "truncated".
func detailsJSON(buf []byte, details map[string]any, limit int) ([]byte, error) {
	if len(details) == 0 {
		return nil, nil
	}
	if b, ok := plainJSON(buf, details); ok && len(b) <= limit {
		return b, nil
	}
	b, err := canonical.Make(details)
	if err != nil || len(b) <= limit {
		return b, err
	}
	sizes := map[string]int{}
	for k, v := range details {
		one, err := canonical.Make(v)
		if err != nil {
			return nil, err
		}
		sizes[k] = len(one) + len(k)
	}
	names := slices.SortedFunc(maps.Keys(details), func(a, b string) int {
		if sizes[a] != sizes[b] {
			return sizes[b] - sizes[a]
		}
		if a < b {
			return -1
		}
		return 1
	})
	kept, left := maps.Clone(details), []string{}
	for _, k := range names {
		delete(kept, k)
		if len(left) < 16 {
			left = append(left, clip(k))
		}
		kept["truncated"] = left
		if b, err = canonical.Make(kept); err != nil || len(b) <= limit {
			return b, err
		}
	}
	return b, err
}

// plainJSON appends the encoding of details with nothing but numbers and short texts: those of the engine, two entries
// a task.
func plainJSON(b []byte, details map[string]any) ([]byte, bool) {
	var buf [8]string
	names := buf[:0]
	for k := range details {
		if len(k) > maxText {
			return nil, false
		}
		names = append(names, k)
	}
	slices.Sort(names)
	start := len(b)
	for i, k := range names {
		b = append(b, ',')
		if i == 0 {
			b[start] = '{'
		}
		b = append(text(b, k), ':')
		switch v := details[k].(type) {
		case int:
			b = strconv.AppendInt(b, int64(v), 10)
		case string:
			if len(v) > maxText {
				return nil, false
			}
			b = text(b, v)
		default:
			return nil, false
		}
	}
	return append(b, '}'), true
}

// optional appends name (with its comma and colon) and s, or nothing when s is empty.
func optional(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return text(append(b, name...), s)
}

// text appends s as a JSON string, cut to maxText.
func text(b []byte, s string) []byte { return canonical.AppendString(b, clip(s)) }

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	s = s[:maxText]
	for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	if r, n := utf8.DecodeLastRuneInString(s); r == utf8.RuneError && n <= 1 && len(s) > 0 {
		s = s[:len(s)-1]
	}
	return s + "…"
}

package body

import (
	"bytes"
	"errors"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/instant"
	"io"
)

// Lenience is what a body may hold beyond the strict rules of the platform's own API.
type Lenience struct {
	Null    bool // null is as good as absent, also for the whole body
	Unknown bool // members that the input does not have are dropped
}

// Decode reads raw, an object of the given shape, into v, which keeps nothing of raw. It refuses
// with Malformed (400) what is no JSON by our rules, and with Invalid (422) what is of the wrong
// shape: all faults with their places.
//
// The library decodes what is good beyond doubt. What is not is read again by a walk that is slow
// and plain, and knows the place of everything (ADR 5).
func Decode(raw []byte, s *Shape, v reflect.Value, l Lenience) error {
	if l == (Lenience{}) && s.plain && good(raw, s, v) {
		return nil
	}
	if s.plain {
		v.SetZero()
	}
	w := walk{Lenience: l, raw: raw, dec: jsontext.NewDecoder(bytes.NewBuffer(raw))}
	switch err := w.body(s, v); {
	case err == errTooMuch, err == nil && len(w.faults) > 0:
		return Invalid(w.faults)
	default:
		return err
	}
}

// body reads the body. Its error is Malformed or errTooMuch. Of lists above their limit the walk
// knows more than their number of elements; all other excess of structure is refused before it
// begins.
func (w *walk) body(s *Shape, v reflect.Value) error {
	structure := surveyOf(w.raw, 0)
	if structure.excess == "" || structure.list {
		err := w.top(s, v)
		switch {
		case err == errTooMuch, err == nil:
			return err
		case structure.excess != "": // it comes first, whatever else is wrong
		case fault.KindOf(err) == fault.Malformed:
			return err
		default:
			return syntax(err)
		}
	}
	return fault.New(fault.Malformed, "json.structure", "the body %s", structure.excess)
}

func (w *walk) top(s *Shape, v reflect.Value) error {
	switch kind := w.dec.PeekKind(); {
	case kind == '{':
		if err := w.object(s, v); err != nil {
			return err
		}
	case kind == 'n' && w.Null:
		if _, err := w.dec.ReadToken(); err != nil {
			return err
		}
		w.complete(s, v, 0)
	default:
		if _, err := w.dec.ReadToken(); err != nil {
			return err
		}
		return fault.New(fault.Malformed, "json.not_object", "the body must be a JSON object")
	}
	switch _, err := w.dec.ReadToken(); {
	case err == nil:
		return fault.New(fault.Malformed, "json.trailing", "the body must end behind its object")
	case err != io.EOF:
		return err
	}
	return nil
}

// options are the library's: strict as it is by default, with times in all forms of the wire.
var options = json.JoinOptions(json.RejectUnknownMembers(true), json.WithUnmarshalers(json.JoinUnmarshalers(
	json.UnmarshalFromFunc(func(from *jsontext.Decoder, t *time.Time) error {
		span, err := readSpan(from)
		*t = span.First
		return err
	}),
	json.UnmarshalFromFunc(func(from *jsontext.Decoder, s *instant.Span) (err error) {
		*s, err = readSpan(from)
		return err
	}),
)))

var errNoTime = errors.New("no time")

func readSpan(from *jsontext.Decoder) (instant.Span, error) {
	text, err := from.ReadToken()
	if err == nil && text.Kind() != '"' {
		err = errNoTime
	}
	if err != nil {
		return instant.Span{}, err
	}
	return instant.Parse(text.String())
}

// good decodes raw with the library, and says whether it is good by all rules beyond doubt. The
// limits come first: nothing is built of a body that may be above one.
func good(raw []byte, s *Shape, v reflect.Value) bool {
	seen := surveyOf(raw, 0)
	return seen.excess == "" && seen.elements <= maxInAll && seen.longest <= s.longest && !seen.zero &&
		json.Unmarshal(raw, v.Addr().Interface(), options) == nil && sound(s, v, seen.no)
}

// sound says whether what the library decoded from a body without a zero value is good by the rules
// of its members, and sets defaults: a member that is zero was absent. no says that the body holds
// false.
func sound(s *Shape, v reflect.Value, no bool) bool {
	switch s.Kind {
	case Pointer:
		return v.IsNil() || sound(s.Elem, v.Elem(), no)
	case List:
		for i := 0; s.Elem.Kind >= Object && i < v.Len(); i++ {
			if !sound(s.Elem, v.Index(i), no) {
				return false
			}
		}
	case Object:
		for _, f := range s.Fields {
			if to := v.FieldByIndex(f.Index); to.IsZero() {
				switch {
				case f.Rules.Required, f.Shape.Kind == Object, f.Shape.Kind == Number && (f.Rules.HasMin || f.Rules.HasMax):
					return false // absent, or an object or a fraction that is there and zero
				case f.Rules.HasDefault && (no && f.Shape.Kind == Bool || f.put(to, f.Shape, f.Rules.Default) != ""):
					return false
				}
			} else if f.Rules.broken(f.Shape, to) != "" || f.elements(to, nil) || !sound(f.Shape, to, no) {
				return false
			}
		}
	}
	return true
}

// elements says whether elements of a list break its form, and tells which and why if there is
// somebody to tell.
func (f *Member) elements(v reflect.Value, tell func(i int, why string)) (broken bool) {
	if f.Rules.Form == "" || f.Shape.Kind != List {
		return false
	}
	for i := range v.Len() {
		if why := f.Rules.element(v.Index(i)); why != "" {
			if broken = true; tell == nil {
				break
			}
			tell(i, why)
		}
	}
	return broken
}

package body

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/provisioning-platform/platform/shared/fault"
	"slices"
)

// walk reads one body token by token. What is no JSON by our rules ends it; what is of the wrong
// shape it collects.
type walk struct {
	Lenience
	raw    []byte
	dec    *jsontext.Decoder
	path   []step // from the body to the value being read
	faults []fault.Field
	inAll  int // elements and members so far
}

// errTooMuch ends a walk over a body that is too much for its shape, or has so many faults that
// more would not be told; what is wrong has been noted. errStructure ends one over a body that is
// above a limit of structure.
var errTooMuch, errStructure = errors.New("too much"), errors.New("structure")

// step leads from a value to one within it.
type step struct {
	name  string // of a member
	index int    // of an element; -1 for a member
}

// fault notes what is wrong with the value being read.
func (w *walk) fault(message string) {
	if len(w.faults) >= maxFaults {
		return // of one object or list: below ends the walk behind it
	}
	var place jsontext.Pointer
	for _, at := range w.path {
		name := at.name
		if at.index >= 0 {
			name = strconv.Itoa(at.index)
		}
		place = place.AppendToken(name)
	}
	w.faults = append(w.faults, fault.Field{Pointer: string(place), Message: message})
}

// below does what is about a member or an element of the value being read.
func (w *walk) below(at step, do func() error) error {
	w.path = append(w.path, at)
	err := do()
	if err == nil {
		w.path = w.path[:len(w.path)-1]
		if len(w.faults) >= maxFaults {
			err = errTooMuch
		}
	}
	return err
}

// skip reads the next value as it is.
func (w *walk) skip() (jsontext.Value, error) {
	depth := w.dec.StackDepth()
	raw, err := w.dec.ReadValue()
	if err == nil && surveyOf(raw, depth).excess != "" {
		err = errStructure
	}
	return raw, err
}

// wrong skips the next value and notes what it should have been.
func (w *walk) wrong(message string) error {
	_, err := w.skip()
	if err == nil {
		w.fault(message)
	}
	return err
}

// tooMuch notes why the body is not read any further. The fault comes first: it is why others are
// missing.
func (w *walk) tooMuch(message string) error {
	had := w.faults
	w.faults = nil
	w.fault(message)
	w.faults = append(w.faults, had[:min(len(had), maxFaults-1)]...)
	return errTooMuch
}

// count counts elements of a list or members of a table.
func (w *walk) count(n int) error {
	if w.inAll += n; w.inAll > maxInAll {
		w.path = nil
		return w.tooMuch(fmt.Sprintf("has more than %d elements in all", maxInAll))
	}
	return nil
}

// enter reads the bracket of an object or a list.
func (w *walk) enter() error {
	if w.dec.StackDepth() >= maxDepth {
		return errStructure
	}
	_, err := w.dec.ReadToken()
	return err
}

// more says whether something follows n elements or members that have been read, of at most most,
// before the end, which it reads.
func (w *walk) more(n, most int, end jsontext.Kind) (bool, error) {
	if w.dec.PeekKind() == end {
		_, err := w.dec.ReadToken()
		return false, err
	}
	if n >= most {
		return false, errStructure
	}
	return true, nil
}

// value reads the next value, which the rules are about if there are any.
func (w *walk) value(s *Shape, v reflect.Value, r *Rules) error {
	k := w.dec.PeekKind()
	if k == 'n' && s.Kind != Any {
		return w.wrong("must be " + s.Want() + ", not null")
	}
	switch {
	case s.Kind == Pointer:
		v.Set(reflect.New(s.Elem.Type))
		return w.value(s.Elem, v.Elem(), r)
	case s.Kind == Object && k == '{':
		return w.object(s, v)
	case s.Kind == Table && k == '{':
		return w.table(s, v)
	case s.Kind == List && k == '[':
		return w.list(s, v, r)
	case (s.Kind == Text || s.Kind == Time) && k == '"', s.Kind == Bool && (k == 't' || k == 'f'):
		token, err := w.dec.ReadToken()
		switch {
		case err != nil:
		case s.Kind == Bool:
			v.SetBool(token.Bool())
		case s.Kind == Time && !putTime(v, token.String()):
			w.fault("must be " + s.Want())
		case s.Kind == Text && r != nil && len(token.String()) > r.longest():
			w.fault(r.tooLong())
		case s.Kind == Text:
			v.SetString(token.String())
		}
		return err
	case s.Kind == Whole && k == '0':
		raw, err := w.skip()
		if err == nil && !putWhole(v, string(raw)) {
			w.fault("must be a whole number within range")
		}
		return err
	case s.Kind == Number || s.Kind == Any || s.Kind == Custom:
		return w.leaf(s, v)
	}
	return w.wrong("must be " + s.Want())
}

// leaf reads a value that the library or the type itself understands.
func (w *walk) leaf(s *Shape, v reflect.Value) error {
	raw, err := w.skip()
	if err == nil {
		err = w.count(surveyOf(raw, 0).elements)
	}
	if err == nil && json.Unmarshal(raw, v.Addr().Interface(), json.RejectUnknownMembers(true)) != nil {
		w.fault("must be " + s.Want())
	}
	return err
}

func (w *walk) object(s *Shape, v reflect.Value) error {
	if err := w.enter(); err != nil {
		return err
	}
	var seen uint64 // by position in Fields: those with a value
	for n := 0; ; n++ {
		if more, err := w.more(n, maxMembers, '}'); err != nil {
			return err
		} else if !more {
			w.complete(s, v, seen)
			return nil
		}
		token, err := w.dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		err = w.below(step{name, -1}, func() error {
			i := slices.IndexFunc(s.Fields, func(f *Member) bool { return f.Name == name })
			switch {
			case i < 0 && (w.Unknown || s.Ignored[name]), i >= 0 && w.Null && s.Fields[i].Shape.Kind != Any && w.dec.PeekKind() == 'n':
				_, err := w.skip()
				return err
			case i < 0:
				return w.wrong("is not a member of this object")
			}
			seen |= 1 << i
			return w.member(s.Fields[i], v.FieldByIndex(s.Fields[i].Index))
		})
		if err != nil {
			return err
		}
	}
}

// member reads the value of a member and notes what is wrong with it by its rules.
func (w *walk) member(f *Member, v reflect.Value) error {
	before := len(w.faults)
	if err := w.value(f.Shape, v, &f.Rules); err != nil || len(w.faults) > before {
		return err
	}
	if why := f.Rules.broken(f.Shape, v); why != "" {
		w.fault(why)
		return nil
	}
	f.elements(v, func(i int, why string) {
		_ = w.below(step{"", i}, func() error { w.fault(why); return nil })
	})
	return nil
}

// complete notes the members that are required and not among those seen, and sets the defaults of
// others.
func (w *walk) complete(s *Shape, v reflect.Value, seen uint64) {
	for i, f := range s.Fields {
		switch {
		case seen&(1<<i) != 0:
		case f.Rules.Required:
			_ = w.below(step{f.Name, -1}, func() error { w.fault("is required"); return nil })
		case f.Rules.HasDefault:
			f.put(v.FieldByIndex(f.Index), f.Shape, f.Rules.Default)
		}
	}
}

func (w *walk) list(s *Shape, v reflect.Value, r *Rules) error {
	if err := w.enter(); err != nil {
		return err
	}
	most, limit := maxElements, maxElements
	if r != nil && r.HasMax {
		most, limit = int(r.Max), maxElements+1
	}
	v.Set(reflect.MakeSlice(s.Type, 0, 0))
	n := 0
	for ; ; n++ {
		more, err := w.more(n, limit, ']')
		switch {
		case err != nil:
			return err
		case !more:
			if n > most {
				w.fault(fmt.Sprintf("must have at most %d elements", most))
			}
			return nil
		case n >= maxElements:
			return w.tooMuch(fmt.Sprintf("must have at most %d elements", most))
		case n >= most: // the rest is read over, so that other faults are found
			_, err = w.skip()
		default:
			if err = w.count(1); err != nil {
				return err
			}
			v.Grow(1)
			v.SetLen(n + 1)
			err = w.below(step{"", n}, func() error { return w.value(s.Elem, v.Index(n), nil) })
		}
		if err != nil {
			return err
		}
	}
}

func (w *walk) table(s *Shape, v reflect.Value) error {
	if err := w.enter(); err != nil {
		return err
	}
	v.Set(reflect.MakeMap(s.Type))
	for n := 0; ; n++ {
		if more, err := w.more(n, maxMembers, '}'); err != nil || !more {
			return err
		}
		token, err := w.dec.ReadToken()
		if err != nil {
			return err
		}
		if err := w.count(1); err != nil {
			return err
		}
		name, elem := token.String(), reflect.New(s.Elem.Type).Elem()
		if err := w.below(step{name, -1}, func() error { return w.value(s.Elem, elem, nil) }); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(name).Convert(s.Type.Key()), elem)
	}
}

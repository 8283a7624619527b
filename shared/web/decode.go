package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/provisioning-platform/platform/shared/fault"
)

// Limits of a body's structure, refused before anything is built from it (reliability-bar I03).
const (
	maxDepth    = 64
	maxMembers  = 10_000  // of one object
	maxElements = 100_000 // of one list
	maxFaults   = 32      // reported at once
	maxRoom     = 256     // elements of a list whose room is kept for the next
)

// decoder reads bodies into values, one after the other: what is no JSON by our rules ends it (400), what is of
// the wrong shape is collected (422).
type decoder struct {
	dec    jsontext.Decoder
	from   bytes.Buffer // the one reader that dec does not copy from
	faults []fault.Field
}

// decode reads body, an object of the given shape, into v, which keeps nothing of it.
func (d *decoder) decode(body []byte, s *shape, v reflect.Value) error {
	if why := structure(body); why != "" {
		return fault.New(fault.Malformed, "json.structure", "the body "+why)
	}
	d.from, d.faults = *bytes.NewBuffer(body), nil
	d.dec.Reset(&d.from)
	if k := d.dec.PeekKind(); k != '{' {
		if _, err := d.dec.ReadToken(); err != nil {
			return syntax(err)
		}
		return fault.New(fault.Malformed, "json.not_object", "the body must be a JSON object")
	}
	if err := d.object(s, v); err != nil {
		return syntax(err)
	}
	switch _, err := d.dec.ReadToken(); {
	case err == nil:
		return fault.New(fault.Malformed, "json.trailing", "the body must end behind its object")
	case !errors.Is(err, io.EOF):
		return syntax(err)
	}
	if len(d.faults) > 0 {
		return invalid(d.faults)
	}
	return nil
}

// invalid returns the 422 that lists faults; its text names the first.
func invalid(faults []fault.Field) error {
	text := named(faults[0])
	if n := len(faults) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return fault.New(fault.Invalid, "input.invalid", "%s", text).With(faults...)
}

func named(f fault.Field) string {
	if f.Pointer == "" {
		return "the body " + f.Message
	}
	return f.Pointer + " " + f.Message
}

// syntax turns an error of the JSON reader into a 400 with the place.
func syntax(err error) error {
	var s *jsontext.SyntacticError
	if !errors.As(err, &s) {
		return fault.New(fault.Malformed, "json.syntax", "the body is not valid JSON: it ends too early").Because(err)
	}
	place := string(s.JSONPointer)
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return fault.New(fault.Malformed, "json.duplicate", "%s stands twice in its object", place).
			With(fault.Field{Pointer: place, Message: "stands twice"}).Because(err)
	}
	f := fault.New(fault.Malformed, "json.syntax", "the body is not valid JSON at byte %d", s.ByteOffset).Because(err)
	if place != "" {
		f = f.With(fault.Field{Pointer: place, Message: "is not valid JSON"})
	}
	return f
}

func (d *decoder) fault(pointer, message string) {
	if len(d.faults) < maxFaults {
		d.faults = append(d.faults, fault.Field{Pointer: pointer, Message: message})
	}
}

// wrong skips the next value and notes what it should have been.
func (d *decoder) wrong(message string) error {
	if err := d.dec.SkipValue(); err != nil {
		return err
	}
	d.fault(string(d.dec.StackPointer()), message)
	return nil
}

// value reads the next value. Its error is one of syntax; faults of shape are collected.
func (d *decoder) value(s *shape, v reflect.Value) error {
	k := d.dec.PeekKind()
	if k == 'n' && s.kind != shapeAny {
		return d.wrong("must be " + s.want() + ", not null")
	}
	switch s.kind {
	case shapePointer:
		v.Set(reflect.New(s.elem.typ))
		return d.value(s.elem, v.Elem())
	case shapeObject:
		if k == '{' {
			return d.object(s, v)
		}
	case shapeTable:
		if k == '{' {
			return d.table(s, v)
		}
	case shapeList:
		if k == '[' {
			return d.list(s, v)
		}
	case shapeText:
		if k == '"' {
			t, err := d.dec.ReadToken()
			if err == nil {
				v.SetString(t.String())
			}
			return err
		}
	case shapeBool:
		if k == 't' || k == 'f' {
			t, err := d.dec.ReadToken()
			if err == nil {
				v.SetBool(t.Bool())
			}
			return err
		}
	case shapeWhole:
		if k == '0' {
			raw, err := d.dec.ReadValue()
			if err == nil && !putWhole(v, string(raw)) {
				d.fault(string(d.dec.StackPointer()), "must be a whole number within range")
			}
			return err
		}
	default:
		return d.leaf(s, v)
	}
	return d.wrong("must be " + s.want())
}

// leaf reads a value that the JSON library or the type itself understands.
func (d *decoder) leaf(s *shape, v reflect.Value) error {
	raw, err := d.dec.ReadValue()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v.Addr().Interface(), json.RejectUnknownMembers(true)); err != nil {
		d.fault(string(d.dec.StackPointer()), "must be "+s.want())
	}
	return nil
}

func (d *decoder) object(s *shape, v reflect.Value) error {
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	var seen uint64 // by position in fields
	for next := 0; d.dec.PeekKind() != '}'; {
		t, err := d.dec.ReadToken()
		if err != nil {
			return err
		}
		i, f := s.find(t.String(), next)
		if f == nil {
			if s.takes[t.String()] {
				err = d.dec.SkipValue()
			} else {
				err = d.wrong("is not a member of this object")
			}
			if err != nil {
				return err
			}
			continue
		}
		seen |= 1 << i
		next = i + 1
		before := len(d.faults)
		to := v.FieldByIndex(f.index)
		if err := d.value(f.shape, to); err != nil {
			return err
		}
		if len(d.faults) == before {
			if why := f.rules.broken(f.shape, to); why != "" {
				d.fault(string(d.dec.StackPointer()), why)
			}
		}
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	for i, f := range s.fields {
		if seen&(1<<(i&63)) != 0 {
			continue
		}
		switch {
		case f.rules.required:
			d.fault(string(d.dec.StackPointer().AppendToken(f.name)), "is required")
		case f.rules.hasFallback:
			f.put(v.FieldByIndex(f.index), f.shape, f.rules.fallback)
		}
	}
	return nil
}

// find returns the field of that name and its position. Few fields, and members mostly in their order: faster than a
// map when the search begins behind the last one.
func (s *shape) find(name string, next int) (int, *field) {
	for i := next; i < len(s.fields); i++ {
		if s.fields[i].name == name {
			return i, s.fields[i]
		}
	}
	for i, f := range s.fields[:next] {
		if f.name == name {
			return i, f
		}
	}
	return 0, nil
}

func (d *decoder) list(s *shape, v reflect.Value) error {
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	room, ok := s.rooms.Get().(*reflect.Value)
	if !ok {
		fresh := reflect.New(s.typ).Elem()
		room = &fresh
	}
	n := 0
	for ; d.dec.PeekKind() != ']'; n++ {
		room.Grow(1)
		room.SetLen(n + 1)
		if err := d.value(s.elem, room.Index(n)); err != nil {
			return err
		}
	}
	if n == 0 {
		v.Set(s.empty)
	} else {
		v.Grow(n)
		v.SetLen(n)
		reflect.Copy(v, *room)
	}
	if n <= maxRoom {
		room.Clear()
		room.SetLen(0)
		s.rooms.Put(room)
	}
	_, err := d.dec.ReadToken()
	return err
}

func (d *decoder) table(s *shape, v reflect.Value) error {
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	out := reflect.MakeMap(s.typ)
	for d.dec.PeekKind() != '}' {
		t, err := d.dec.ReadToken()
		if err != nil {
			return err
		}
		name := reflect.ValueOf(strings.Clone(t.String())).Convert(s.typ.Key())
		elem := reflect.New(s.elem.typ).Elem()
		if err := d.value(s.elem, elem); err != nil {
			return err
		}
		out.SetMapIndex(name, elem)
	}
	v.Set(out)
	_, err := d.dec.ReadToken()
	return err
}

// structure walks over the bytes of a body without building anything and says what is too much about
// it: depth, members of one object, elements of one list. It knows texts, and leaves all else about
// syntax to the reader.
func structure(body []byte) string {
	var commas [maxDepth + 1]int
	var lists [maxDepth + 1]bool
	depth := 0
	for i := 0; i < len(body); i++ {
		switch c := body[i]; c {
		case '"':
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if depth++; depth > maxDepth {
				return fmt.Sprintf("is nested deeper than %d levels", maxDepth)
			}
			commas[depth], lists[depth] = 0, c == '['
		case '}', ']':
			depth = max(0, depth-1)
		case ',':
			commas[depth]++
			if lists[depth] && commas[depth] >= maxElements {
				return fmt.Sprintf("has a list with more than %d elements", maxElements)
			}
			if !lists[depth] && commas[depth] >= maxMembers {
				return fmt.Sprintf("has an object with more than %d members", maxMembers)
			}
		}
	}
	return ""
}

package body

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"bytes"
	"github.com/provisioning-platform/platform/shared/fault"
)

// Limits of a body's structure, refused before anything is kept of it (reliability-bar I03).
const (
	maxDepth    = 64
	maxMembers  = 10_000    // of one object
	maxElements = 100_000   // of one list
	maxInAll    = 300_000   // elements of all lists and members of all tables (decision 57)
	maxFaults   = 32        // reported at once
	maxRoom     = 512 << 10 // bytes of a list whose room is kept for the next
)

// Decoder reads bodies into values, one after the other. What is no JSON by our rules ends a body
// (400); what is of the wrong shape it collects (422).
type Decoder struct {
	Lenience
	reader
	path   []step // from the body to the value being read
	faults []fault.Field
	inAll  int // elements and members so far
}

// Lenience is what a body may hold beyond the strict rules of the platform's own API.
type Lenience struct {
	Null    bool // null is as good as absent, also for the whole body
	Unknown bool // members that the input does not have are dropped
}

// errTooMuch ends the reading of a body that is too much for its shape; what is wrong has been
// noted.
var errTooMuch = errors.New("too much")

// step leads from a value to one within it.
type step struct {
	name  string // of a member
	index int    // of an element; -1 for a member
}

// Decode reads body, an object of the given shape, into v, which keeps nothing of body. It refuses
// with Malformed (400) or Invalid (422, all faults with their places).
func (d *Decoder) Decode(body []byte, s *Shape, v reflect.Value) error {
	d.reader, d.path, d.faults, d.inAll = reader{body: body, skipped: -1}, d.path[:0], nil, 0
	defer func() { d.reader = reader{} }()
	err := errMalformed
	switch d.kind() {
	case '{':
		err = d.object(s, v)
	case 'n':
		if d.Null && bytes.HasPrefix(body[d.at:], []byte("null")) {
			d.at += len("null")
			err = d.complete(s, v, 0)
		}
	}
	switch {
	case err == errTooMuch:
	case err != nil, d.kind() != 0, d.at < len(body):
		return d.malformed()
	}
	if len(d.faults) > 0 {
		return Invalid(d.faults)
	}
	return nil
}

// Invalid returns the 422 that lists faults; its text names the first.
func Invalid(faults []fault.Field) error {
	text := Named(faults[0])
	if n := len(faults) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return fault.New(fault.Invalid, "input.invalid", "%s", text).With(faults...)
}

// Named returns a fault as a sentence that begins with its place.
func Named(f fault.Field) string {
	if f.Pointer == "" {
		return "the body " + f.Message
	}
	return f.Pointer + " " + f.Message
}

// fault notes what is wrong with the value being read.
func (d *Decoder) fault(message string) {
	if len(d.faults) >= maxFaults {
		return
	}
	var place jsontext.Pointer
	for _, at := range d.path {
		name := at.name
		if at.index >= 0 {
			name = strconv.Itoa(at.index)
		}
		place = place.AppendToken(name)
	}
	d.faults = append(d.faults, fault.Field{Pointer: string(place), Message: message})
}

// wrong skips the next value and notes what it should have been.
func (d *Decoder) wrong(message string) error {
	if _, err := d.skip(len(d.path), false); err != nil {
		return err
	}
	d.fault(message)
	return nil
}

// tooMuch notes why the body is not read any further. The fault comes first: it is why others are
// missing.
func (d *Decoder) tooMuch(message string) error {
	had := d.faults
	d.faults = nil
	d.fault(message)
	d.faults = append(d.faults, had[:min(len(had), maxFaults-1)]...)
	return errTooMuch
}

// count counts an element of a list or a member of a table.
func (d *Decoder) count(n int) error {
	if d.inAll += n; d.inAll > maxInAll {
		d.path = d.path[:0]
		return d.tooMuch(fmt.Sprintf("has more than %d elements in all", maxInAll))
	}
	return nil
}

// value reads the next value, which the rules are about if there are any. Its error is errMalformed
// or errTooMuch; faults of shape are collected.
func (d *Decoder) value(s *Shape, v reflect.Value, r *Rules) error {
	k := d.kind()
	if k == 'n' && s.Kind != Any {
		return d.wrong("must be " + s.Want() + ", not null")
	}
	switch s.Kind {
	case Pointer:
		v.Set(reflect.New(s.Elem.Type))
		return d.value(s.Elem, v.Elem(), r)
	case Object:
		if k == '{' {
			return d.object(s, v)
		}
	case Table:
		if k == '{' {
			return d.table(s, v)
		}
	case List:
		if k == '[' {
			return d.list(s, v, r)
		}
	case Text:
		if k == '"' {
			t, err := d.text()
			switch {
			case err != nil:
			case r != nil && len(t) > r.longest():
				d.fault(r.tooLong())
			default:
				v.SetString(string(t))
			}
			return err
		}
	case Time:
		if k == '"' {
			t, err := d.text()
			if err == nil && !putTime(v, string(t)) {
				d.fault("must be " + s.Want())
			}
			return err
		}
	case Bool:
		if k == 't' || k == 'f' {
			raw, err := d.skip(len(d.path), false)
			if err == nil {
				v.SetBool(raw[0] == 't')
			}
			return err
		}
	case Whole:
		if k == '-' || '0' <= k && k <= '9' {
			raw, err := d.skip(len(d.path), true)
			if err == nil && !putWhole(v, string(raw)) {
				d.fault("must be a whole number within range")
			}
			return err
		}
	default:
		return d.leaf(s, v)
	}
	return d.wrong("must be " + s.Want())
}

// leaf reads a value that the JSON library or the type itself understands.
func (d *Decoder) leaf(s *Shape, v reflect.Value) error {
	raw, err := d.skip(len(d.path), true)
	if err != nil {
		return err
	}
	if err := d.count(elementsIn(raw)); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v.Addr().Interface(), json.RejectUnknownMembers(true)); err != nil {
		d.fault("must be " + s.Want())
	}
	return nil
}

func (d *Decoder) object(s *Shape, v reflect.Value) error {
	at := len(d.path)
	if at >= maxDepth {
		return errMalformed
	}
	var seen, nulls uint64     // by position in fields: those with a value, and those that are null
	var others map[string]bool // names that are of no field
	next := 0
	for n := 0; ; n++ {
		if more, err := d.more(n, maxMembers, '}'); err != nil {
			return err
		} else if !more {
			break
		}
		name, err := d.name()
		if err != nil {
			return err
		}
		i, f := s.find(name, next)
		if f == nil {
			if others[string(name)] {
				return errMalformed
			}
			if others == nil {
				others = map[string]bool{}
			}
			others[string(name)] = true
			if d.Unknown || s.Ignored[string(name)] {
				_, err = d.skip(at+1, false)
			} else {
				d.path = append(d.path, step{string(name), -1})
				err = d.wrong("is not a member of this object")
				d.path = d.path[:at]
			}
			if err != nil {
				return err
			}
			continue
		}
		if (seen|nulls)&(1<<i) != 0 {
			return errMalformed
		}
		seen |= 1 << i
		next = i + 1
		if d.Null && f.Shape.Kind != Any && d.kind() == 'n' {
			seen &^= 1 << i
			nulls |= 1 << i
			if _, err := d.skip(at+1, false); err != nil {
				return err
			}
			continue
		}
		before := len(d.faults)
		to := v.FieldByIndex(f.Index)
		d.path = append(d.path, step{f.Name, -1})
		if err := d.value(f.Shape, to, &f.Rules); err != nil {
			return err
		}
		if len(d.faults) == before {
			d.judge(f, to)
		}
		d.path = d.path[:at]
	}
	return d.complete(s, v, seen)
}

// complete notes the members that are required and missing, by position not among seen, and sets the
// defaults of others.
func (d *Decoder) complete(s *Shape, v reflect.Value, seen uint64) error {
	at := len(d.path)
	for i, f := range s.Fields {
		if seen&(1<<(i&63)) != 0 {
			continue
		}
		switch {
		case f.Rules.Required:
			d.path = append(d.path, step{f.Name, -1})
			d.fault("is required")
			d.path = d.path[:at]
		case f.Rules.HasDefault:
			f.put(v.FieldByIndex(f.Index), f.Shape, f.Rules.Default)
		}
	}
	return nil
}

// judge notes what is wrong with a member by its rules, and with the elements of a list by their
// form.
func (d *Decoder) judge(f *Field, v reflect.Value) {
	if why := f.Rules.broken(f.Shape, v); why != "" {
		d.fault(why)
		return
	}
	if f.Rules.Form == "" || f.Shape.Kind != List {
		return
	}
	at := len(d.path)
	for i := range v.Len() {
		if why := f.Rules.element(v.Index(i)); why != "" {
			d.path = append(d.path, step{"", i})
			d.fault(why)
			d.path = d.path[:at]
		}
	}
}

// find returns the field of that name and its position. Few fields, and members mostly in their
// order: faster than a map when the search begins behind the last one.
func (s *Shape) find(name []byte, next int) (int, *Field) {
	for i := next; i < len(s.Fields); i++ {
		if s.Fields[i].Name == string(name) {
			return i, s.Fields[i]
		}
	}
	for i, f := range s.Fields[:next] {
		if f.Name == string(name) {
			return i, f
		}
	}
	return 0, nil
}

func (d *Decoder) list(s *Shape, v reflect.Value, r *Rules) error {
	at := len(d.path)
	if at >= maxDepth {
		return errMalformed
	}
	room, ok := s.rooms.Get().(*reflect.Value)
	if !ok {
		fresh := reflect.New(s.Type).Elem()
		room = &fresh
	}
	most, limit := maxElements, maxElements
	if r != nil && r.HasMax {
		most, limit = int(r.Max), maxElements+1
	}
	d.path = append(d.path, step{})
	n := 0
	for ; ; n++ {
		if more, err := d.more(n, limit, ']'); err != nil {
			return err
		} else if !more {
			break
		}
		if n >= most { // the rest is read over, so that other faults are found
			if n >= maxElements {
				d.path = d.path[:at]
				return d.tooMuch(fmt.Sprintf("must have at most %d elements", most))
			}
			if _, err := d.skip(at+1, false); err != nil {
				return err
			}
			continue
		}
		if err := d.count(1); err != nil {
			return err
		}
		if n == room.Len() {
			room.Grow(1)
			room.SetLen(room.Cap())
		}
		d.path[at].index = n
		if err := d.value(s.Elem, room.Index(n), nil); err != nil {
			return err
		}
	}
	d.path = d.path[:at]
	if n > most {
		d.fault(fmt.Sprintf("must have at most %d elements", most))
		n = most
	}
	room.SetLen(n)
	if n == 0 {
		v.Set(s.empty)
	} else {
		v.Grow(n)
		v.SetLen(n)
		reflect.Copy(v, *room)
	}
	if n*int(s.Elem.Type.Size()) <= maxRoom {
		room.Clear()
		s.rooms.Put(room)
	}
	return nil
}

func (d *Decoder) table(s *Shape, v reflect.Value) error {
	at := len(d.path)
	if at >= maxDepth {
		return errMalformed
	}
	out := reflect.MakeMap(s.Type)
	for n := 0; ; n++ {
		if more, err := d.more(n, maxMembers, '}'); err != nil {
			return err
		} else if !more {
			break
		}
		raw, err := d.name()
		if err != nil {
			return err
		}
		if err := d.count(1); err != nil {
			return err
		}
		name := reflect.ValueOf(string(raw)).Convert(s.Type.Key())
		if out.MapIndex(name).IsValid() {
			return errMalformed
		}
		elem := reflect.New(s.Elem.Type).Elem()
		d.path = append(d.path, step{name.String(), -1})
		if err := d.value(s.Elem, elem, nil); err != nil {
			return err
		}
		d.path = d.path[:at]
		out.SetMapIndex(name, elem)
	}
	v.Set(out)
	return nil
}

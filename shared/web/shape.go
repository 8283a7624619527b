package web

import (
	"encoding"
	stdjson "encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/provisioning-platform/platform/shared/instant"
)

// shape is how a Go type looks as JSON; it is worked out once a type, when the server is built, and
// serves the decoder and the OpenAPI document.
type shape struct {
	kind   shapeKind
	typ    reflect.Type
	elem   *shape          // of a list, a table, a pointer
	fields []*field        // of an object, in the order of declaration
	takes  map[string]bool // members of an object that are read and ignored
	empty  reflect.Value   // of a list
	rooms  sync.Pool       // of a list: *reflect.Value, where its elements are read before their number is known
}

type shapeKind uint8

const (
	shapeText   shapeKind = iota
	shapeWhole            // an integer
	shapeNumber           // a float
	shapeBool
	shapeAny    // any JSON, null included
	shapeCustom // a type that reads itself
	shapeTime   // a moment (time.Time), or all the time that a text names (instant.Span)
	shapeObject
	shapeList
	shapeTable   // an object with free names
	shapePointer // of its element, but may be absent
)

// field is one member of an object or one parameter of a request.
type field struct {
	name  string
	index []int
	shape *shape
	rules rules
}

// rules is what the tags of a field say about its value.
type rules struct {
	required     bool
	omit         bool // left out of outputs when empty
	enum         []string
	form         string // of a text, or of the texts of a list: "name", "free", or any
	min, max     float64
	hasMin       bool
	hasMax       bool
	fallback     string
	hasFallback  bool
	doc, example string
	rare         bool // absent or null as a rule: examples of the whole leave it out
}

// maxText is the longest text where a field says nothing (decision 20), in bytes.
const maxText = 64 << 10

// maxFields is the most members an object type may have: the decoder keeps what it saw in one word.
const maxFields = 64

// want says what a value of this shape must be, for messages.
func (s *shape) want() string {
	switch s.kind {
	case shapeText:
		return "a text"
	case shapeWhole:
		return "a whole number"
	case shapeNumber:
		return "a number"
	case shapeBool:
		return "true or false"
	case shapeTime:
		return "a time such as 2025-09-26T10:00:00Z or 2025-09-26"
	case shapeObject, shapeTable:
		return "an object"
	case shapeList:
		return "a list"
	case shapePointer:
		return s.elem.want()
	}
	return "any value"
}

// shapes works out shapes and knows those it has met, so that recursive types end.
type shapes struct{ known map[reflect.Type]*shape }

func newShapes() *shapes { return &shapes{known: map[reflect.Type]*shape{}} }

// of returns the shape of a type.
func (k *shapes) of(t reflect.Type) (*shape, error) {
	if s, ok := k.known[t]; ok {
		return s, nil
	}
	s := &shape{typ: t}
	k.known[t] = s
	var err error
	switch {
	case t == reflect.TypeFor[time.Time](), t == reflect.TypeFor[instant.Span]():
		s.kind = shapeTime
	case t == reflect.TypeFor[stdjson.RawMessage]():
		s.kind = shapeAny
	case readsItself(t):
		s.kind = shapeCustom
	default:
		err = k.fill(s, t)
	}
	return s, err
}

func (k *shapes) fill(s *shape, t reflect.Type) (err error) {
	switch t.Kind() {
	case reflect.String:
		s.kind = shapeText
	case reflect.Bool:
		s.kind = shapeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s.kind = shapeWhole
	case reflect.Float32, reflect.Float64:
		s.kind = shapeNumber
	case reflect.Interface:
		s.kind = shapeAny
	case reflect.Pointer:
		s.kind = shapePointer
		s.elem, err = k.of(t.Elem())
	case reflect.Slice:
		s.kind = shapeList
		if t.Elem().Kind() == reflect.Uint8 {
			s.kind = shapeCustom // bytes: base64 text
			return nil
		}
		s.empty = reflect.MakeSlice(t, 0, 0)
		s.elem, err = k.of(t.Elem())
	case reflect.Map:
		s.kind = shapeTable
		if t.Key().Kind() != reflect.String {
			return fmt.Errorf("type %s: only maps with text keys have a JSON form", t)
		}
		s.elem, err = k.of(t.Elem())
	case reflect.Struct:
		s.kind = shapeObject
		if err = k.members(s, t, nil); err == nil && len(s.fields) > maxFields {
			return fmt.Errorf("type %s has more than %d members", t, maxFields)
		}
	default:
		return fmt.Errorf("type %s has no JSON form", t)
	}
	return err
}

// members collects the json fields of a struct, those of embedded structs included.
func (k *shapes) members(s *shape, t reflect.Type, at []int) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		index := append(append([]int(nil), at...), i)
		tag, tagged := sf.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case sf.Anonymous && name == "" && sf.Type.Kind() == reflect.Struct:
			if err := k.members(s, sf.Type, index); err != nil {
				return err
			}
			continue
		case !sf.IsExported() || name == "-" || (!tagged && isParameter(sf)):
			continue
		case !tagged:
			return fmt.Errorf("field %s of %s has no json tag", sf.Name, t)
		}
		f, err := k.field(name, sf, index)
		if err != nil {
			return err
		}
		f.rules.omit = strings.Contains(options, "omit")
		s.fields = append(s.fields, f)
	}
	return nil
}

// field works out one tagged field.
func (k *shapes) field(name string, sf reflect.StructField, index []int) (*field, error) {
	sh, err := k.of(sf.Type)
	if err != nil {
		return nil, fmt.Errorf("field %s: %w", sf.Name, err)
	}
	r, err := rulesOf(sf)
	return &field{name: name, index: index, shape: sh, rules: r}, err
}

func isParameter(sf reflect.StructField) bool {
	for _, tag := range []string{"path", "query", "header"} {
		if _, ok := sf.Tag.Lookup(tag); ok {
			return true
		}
	}
	return false
}

// rulesOf reads the tags of a field.
func rulesOf(sf reflect.StructField) (r rules, err error) {
	r.required = sf.Tag.Get("required") == "true"
	r.doc, r.example, r.rare = sf.Tag.Get("doc"), sf.Tag.Get("example"), sf.Tag.Get("rare") == "true"
	r.fallback, r.hasFallback = sf.Tag.Lookup("default")
	if e := sf.Tag.Get("enum"); e != "" {
		r.enum = strings.Split(e, ",")
	}
	switch r.form = sf.Tag.Get("form"); r.form {
	case "", formName, formFree:
	default:
		return r, fmt.Errorf("field %s: there is no form %q of a text", sf.Name, r.form)
	}
	for _, bound := range []struct {
		tag string
		to  *float64
		has *bool
	}{{"min", &r.min, &r.hasMin}, {"max", &r.max, &r.hasMax}} {
		text, ok := sf.Tag.Lookup(bound.tag)
		if !ok {
			continue
		}
		if *bound.to, err = strconv.ParseFloat(text, 64); err != nil {
			return r, fmt.Errorf("field %s: tag %s: %w", sf.Name, bound.tag, err)
		}
		*bound.has = true
	}
	return r, nil
}

// readsItself says whether values of the type come with a decoder of their own.
func readsItself(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return false
	}
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.UnmarshalerFrom]()) || p.Implements(reflect.TypeFor[json.Unmarshaler]()) ||
		p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) || t.Implements(reflect.TypeFor[json.Marshaler]()) ||
		t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

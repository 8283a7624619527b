package body

import (
	"encoding"
	stdjson "encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/provisioning-platform/platform/shared/instant"
)

// Shape is how a Go type looks as JSON. A server makes the shapes of its inputs and outputs once,
// when it is built; Decode and the OpenAPI document read them.
type Shape struct {
	Kind    Kind
	Type    reflect.Type
	Elem    *Shape          // of a list, a table, a pointer
	Fields  []*Member       // of an object, in the order of declaration
	Ignored map[string]bool // members of an object that the Decode reads and drops
	plain   bool            // of an input: the library may decode it
	longest int             // of an input: elements of its longest list, by the rules
}

// Kind is the sort of JSON value that a Shape stands for.
type Kind uint8

// The kinds of JSON values.
const (
	Text   Kind = iota
	Whole       // an integer
	Number      // a float
	Bool
	Any    // any JSON, null included
	Custom // a type that reads itself
	Time   // a moment (time.Time), or all the time that a text names (instant.Span)
	Object
	List
	Table   // an object with free names
	Pointer // of its element, but may be absent
)

// Member is one member of an object or one parameter of a request.
type Member struct {
	Name  string
	Index []int
	Shape *Shape
	Rules Rules
}

// Rules is what the tags of a field say about its value.
type Rules struct {
	Required     bool
	Omit         bool // left out of outputs when empty
	Empty        bool // a text that is required may be empty
	Enum         []string
	Form         string // of a text, or of the texts of a list: "name", "free", or any
	Min, Max     float64
	HasMin       bool
	HasMax       bool
	Default      string
	HasDefault   bool
	Doc, Example string
	Rare         bool // absent or null as a rule: examples of the whole leave it out
}

// maxText is the longest text where a field says nothing (decision 20), in bytes.
const maxText = 64 << 10

// maxFields is the most members an object type may have: the walk keeps what it saw in one word.
const maxFields = 64

// Want says what a value of this shape must be, for messages.
func (s *Shape) Want() string {
	switch s.Kind {
	case Text:
		return "a text"
	case Whole:
		return "a whole number"
	case Number:
		return "a number"
	case Bool:
		return "true or false"
	case Time:
		return "a time such as 2025-09-26T10:00:00Z or 2025-09-26"
	case Object, Table:
		return "an object"
	case List:
		return "a list"
	case Pointer:
		return s.Elem.Want()
	}
	return "any value"
}

// Shapes makes shapes and remembers those it has made, so that recursive types end.
type Shapes struct{ known map[reflect.Type]*Shape }

// NewShapes returns one that has made no shape yet.
func NewShapes() *Shapes { return &Shapes{known: map[reflect.Type]*Shape{}} }

// Of returns the shape of a type, or why the type has no JSON form.
func (k *Shapes) Of(t reflect.Type) (*Shape, error) {
	if s, ok := k.known[t]; ok {
		return s, nil
	}
	s := &Shape{Type: t}
	k.known[t] = s
	var err error
	switch {
	case t == reflect.TypeFor[time.Time](), t == reflect.TypeFor[instant.Span]():
		s.Kind = Time
	case t == reflect.TypeFor[stdjson.RawMessage]():
		s.Kind = Any
	case decodesItself(t):
		s.Kind = Custom
	default:
		err = k.fill(s, t)
	}
	return s, err
}

// Exemplify replaces the examples of members of an object, by name.
func (s *Shape) Exemplify(examples map[string]string) {
	for _, f := range s.Fields {
		if e, ok := examples[f.Name]; ok {
			f.Rules.Example = e
		}
	}
}

// Input returns the shape of a type that Decode decodes into.
func (k *Shapes) Input(t reflect.Type) (*Shape, error) {
	s, err := k.Of(t)
	if err == nil {
		s.plain = s.survey(map[*Shape]bool{}, &s.longest)
	}
	return s, err
}

// survey says whether the library may decode values of the shape: it knows no parameters, which a
// body must not set, and cannot take the address of a value in a table. longest becomes the most
// elements that a list may have.
func (s *Shape) survey(known map[*Shape]bool, longest *int) bool {
	if known[s] {
		return true
	}
	known[s] = true
	plain := !(s.Kind == Table && s.Elem.Kind >= Object)
	if s.Kind == Any || s.Kind == Custom || s.Kind == List && s.Elem.Kind >= List {
		*longest = maxElements // what stands in them has no rule
	}
	if s.Elem != nil {
		plain = s.Elem.survey(known, longest) && plain
	}
	for _, f := range s.Fields {
		if f.Shape.Kind == List && f.Rules.HasMax {
			*longest = max(*longest, int(f.Rules.Max))
		} else if f.Shape.Kind == List || f.Shape.Kind == Pointer && f.Shape.Elem.Kind == List {
			*longest = maxElements
		}
		plain = f.Shape.survey(known, longest) && plain
	}
	return plain && !(s.Kind == Object && parameters(s.Type))
}

// parameters says whether a struct has fields that are read from elsewhere than a body.
func parameters(t reflect.Type) bool {
	for i := range t.NumField() {
		sf := t.Field(i)
		if isParameter(sf) || sf.Anonymous && sf.Type.Kind() == reflect.Struct && parameters(sf.Type) {
			return true
		}
	}
	return false
}

func (k *Shapes) fill(s *Shape, t reflect.Type) (err error) {
	switch t.Kind() {
	case reflect.String:
		s.Kind = Text
	case reflect.Bool:
		s.Kind = Bool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s.Kind = Whole
	case reflect.Float32, reflect.Float64:
		s.Kind = Number
	case reflect.Interface:
		s.Kind = Any
	case reflect.Pointer:
		s.Kind = Pointer
		s.Elem, err = k.Of(t.Elem())
	case reflect.Slice:
		s.Kind = List
		if t.Elem().Kind() == reflect.Uint8 {
			s.Kind = Custom // bytes: base64 text
			return nil
		}
		s.Elem, err = k.Of(t.Elem())
	case reflect.Map:
		s.Kind = Table
		if t.Key().Kind() != reflect.String {
			return fmt.Errorf("type %s: only maps with text keys have a JSON form", t)
		}
		s.Elem, err = k.Of(t.Elem())
	case reflect.Struct:
		s.Kind = Object
		if err = k.members(s, t, nil); err == nil && len(s.Fields) > maxFields {
			return fmt.Errorf("type %s has more than %d members", t, maxFields)
		}
	default:
		return fmt.Errorf("type %s has no JSON form", t)
	}
	return err
}

// members collects the json fields of a struct, those of embedded structs included.
func (k *Shapes) members(s *Shape, t reflect.Type, at []int) error {
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
		f, err := k.Field(name, sf, index)
		if err != nil {
			return err
		}
		f.Rules.Omit = strings.Contains(options, "omit")
		s.Fields = append(s.Fields, f)
	}
	return nil
}

// Field returns one tagged field of a struct, a parameter or a member.
func (k *Shapes) Field(name string, sf reflect.StructField, index []int) (*Member, error) {
	sh, err := k.Of(sf.Type)
	if err != nil {
		return nil, fmt.Errorf("field %s: %w", sf.Name, err)
	}
	r, err := rulesOf(sf)
	return &Member{Name: name, Index: index, Shape: sh, Rules: r}, err
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
func rulesOf(sf reflect.StructField) (r Rules, err error) {
	r.Required, r.Empty = sf.Tag.Get("required") == "true", sf.Tag.Get("empty") == "true"
	r.Doc, r.Example, r.Rare = sf.Tag.Get("doc"), sf.Tag.Get("example"), sf.Tag.Get("rare") == "true"
	r.Default, r.HasDefault = sf.Tag.Lookup("default")
	if e := sf.Tag.Get("enum"); e != "" {
		r.Enum = strings.Split(e, ",")
	}
	switch r.Form = sf.Tag.Get("form"); r.Form {
	case "", FormName, formFree:
	default:
		return r, fmt.Errorf("field %s: there is no form %q of a text", sf.Name, r.Form)
	}
	for _, bound := range []struct {
		tag string
		to  *float64
		has *bool
	}{{"min", &r.Min, &r.HasMin}, {"max", &r.Max, &r.HasMax}} {
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

// decodesItself says whether values of the type come with a decoder of their own.
func decodesItself(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return false
	}
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.UnmarshalerFrom]()) || p.Implements(reflect.TypeFor[json.Unmarshaler]()) ||
		p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) || t.Implements(reflect.TypeFor[json.Marshaler]()) ||
		t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

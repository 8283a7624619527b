package web

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

	"github.com/provisioning-platform/platform/shared/fault"
)

// binding is how the input of a route is read from a request; worked out when the server is built.
type binding struct {
	path, query, header []*field
	body                *shape // nil when the input has no json fields
	empty               *shape // an object without members: what a body may be when there is none to read
	maxBody             int64
	hasBody             bool      // the method comes with one
	decoders            sync.Pool // of *decoder
}

// maxParameter is the longest path parameter, in bytes; a longer one names nothing.
const maxParameter = 256

func bindingOf(r Route) (*binding, error) {
	b := &binding{maxBody: r.MaxBody, empty: &shape{kind: shapeObject}}
	if b.maxBody == 0 {
		b.maxBody = DefaultMaxBody
	}
	b.hasBody = r.Method != http.MethodGet
	if r.Stream != nil { // reads its parameters itself
		if r.Speaks == nil || r.Speaks.Query == nil {
			return b, nil
		}
		return b, b.parameters(newShapes(), reflect.TypeOf(r.Speaks.Query), nil)
	}
	at := func(err error) error { return fmt.Errorf("route %s: %w", r.Op, err) }
	t := r.Handle.in
	if t.Kind() != reflect.Struct {
		return nil, at(fmt.Errorf("input %s is no struct", t))
	}
	k := newShapes()
	if err := b.parameters(k, t, nil); err != nil {
		return nil, at(err)
	}
	s, err := k.of(t)
	if err != nil {
		return nil, at(err)
	}
	if len(s.fields) > 0 {
		b.body = s
		if in, ok := reflect.New(t).Interface().(interface{ Ignores() []string }); ok {
			s.takes = map[string]bool{}
			for _, name := range in.Ignores() {
				s.takes[name] = true
			}
		}
	}
	if b.body != nil && !b.hasBody {
		return nil, at(fmt.Errorf("a %s has no body, but the input has json fields", r.Method))
	}
	var named []string
	for _, f := range b.path {
		named = append(named, f.name)
	}
	for _, p := range r.parameters() {
		if !slices.Contains(named, p) {
			return nil, at(fmt.Errorf("path parameter %s is not in the input", p))
		}
	}
	if len(named) != len(r.parameters()) {
		return nil, at(fmt.Errorf("the input has path fields that the path does not have"))
	}
	return b, nil
}

// parameters collects the fields tagged path, query and header.
func (b *binding) parameters(k *shapes, t reflect.Type, at []int) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		index := append(append([]int(nil), at...), i)
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct {
			if err := b.parameters(k, sf.Type, index); err != nil {
				return err
			}
			continue
		}
		for tag, to := range map[string]*[]*field{"path": &b.path, "query": &b.query, "header": &b.header} {
			name, ok := sf.Tag.Lookup(tag)
			if !ok {
				continue
			}
			f, err := k.field(name, sf, index)
			if err != nil {
				return err
			}
			*to = append(*to, f)
		}
	}
	return nil
}

// bind reads everything but the body into v, an addressable struct.
func (b *binding) bind(c *gin.Context, v reflect.Value) error {
	for _, f := range b.path {
		text := strings.TrimPrefix(c.Param(f.name), "/")
		if len(text) > maxParameter || f.put(v.FieldByIndex(f.index), f.shape, text) != "" {
			return fault.New(fault.NotFound, "http.not_found", "there is no such %s", f.name)
		}
	}
	if err := b.values(c.Request, v); err != nil {
		return err
	}
	for _, f := range b.header {
		if text := c.Request.Header.Get(f.name); text != "" {
			if why := f.put(v.FieldByIndex(f.index), f.shape, text); why != "" {
				return fault.New(fault.Malformed, "input.header", "header %s %s", f.name, why)
			}
		}
	}
	return nil
}

// decode reads a body into v.
func (b *binding) decode(body []byte, v reflect.Value) error {
	s := b.body
	if s == nil {
		if len(body) == 0 {
			return nil
		}
		s = b.empty
	}
	d, ok := b.decoders.Get().(*decoder)
	if !ok {
		d = new(decoder)
	}
	defer b.decoders.Put(d)
	return d.decode(body, s, v)
}

// values reads the query parameters; unknown ones are left alone.
func (b *binding) values(r *http.Request, v reflect.Value) error {
	var given url.Values
	if r.URL.RawQuery != "" {
		var err error
		if given, err = url.ParseQuery(r.URL.RawQuery); err != nil {
			return fault.New(fault.Malformed, "input.query", "the query of the address cannot be read")
		}
	}
	var faults []fault.Field
	for _, f := range b.query {
		texts, to := given[f.name], v.FieldByIndex(f.index)
		why := ""
		switch {
		case len(texts) == 0 && f.rules.hasFallback:
			f.put(to, f.shape, f.rules.fallback)
		case len(texts) == 0 && f.rules.required:
			why = "is required"
		case len(texts) == 0:
		case f.shape.kind == shapeList:
			why = f.puts(to, texts)
		case len(texts) > 1:
			why = "is given twice"
		default:
			why = f.put(to, f.shape, texts[0])
		}
		if why == "" && len(texts) > 0 {
			why = f.rules.broken(f.shape, to)
		}
		if why != "" {
			faults = append(faults, fault.Field{Pointer: f.name, Message: why})
		}
	}
	if faults != nil {
		return fault.New(fault.Malformed, "input.query", "%s", named(faults[0])).With(faults...)
	}
	return nil
}

// puts reads a parameter that may be given several times.
func (f *field) puts(to reflect.Value, texts []string) string {
	out := reflect.MakeSlice(f.shape.typ, len(texts), len(texts))
	for i, text := range texts {
		if why := f.put(out.Index(i), f.shape.elem, text); why != "" {
			return why
		}
	}
	to.Set(out)
	return ""
}

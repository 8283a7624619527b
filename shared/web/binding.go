package web

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web/body"
)

// binding is how the input of a route is read from a request; worked out when the server is built.
type binding struct {
	path, query, header []*body.Member
	body                *body.Shape // nil when the input has no json fields
	empty               *body.Shape // an object without members: what a body may be when there is none to read
	maxBody             int64
	hasBody             bool                          // the method comes with one
	takes               func(contentType string) bool // of the face
	lenience            body.Lenience                 // of the face
}

// maxParameter is the longest path parameter, in bytes; a longer one names nothing.
const maxParameter = 256

func bindingOf(r Route) (*binding, error) {
	b := &binding{maxBody: r.MaxBody, empty: &body.Shape{Kind: body.Object}}
	if b.maxBody == 0 {
		b.maxBody = DefaultMaxBody
	}
	b.hasBody = r.Method != http.MethodGet
	if r.Stream != nil { // reads its parameters itself
		if r.Speaks == nil || r.Speaks.Query == nil {
			return b, nil
		}
		return b, b.parameters(body.NewShapes(), reflect.TypeOf(r.Speaks.Query), nil)
	}
	at := func(err error) error { return fmt.Errorf("route %s: %w", r.Op, err) }
	t := r.Handle.in
	if t.Kind() != reflect.Struct {
		return nil, at(fmt.Errorf("input %s is no struct", t))
	}
	k := body.NewShapes()
	if err := b.parameters(k, t, nil); err != nil {
		return nil, at(err)
	}
	s, err := k.Input(t)
	if err != nil {
		return nil, at(err)
	}
	if len(s.Fields) > 0 {
		b.body = s
		if in, ok := reflect.New(t).Interface().(interface{ Ignores() []string }); ok {
			s.Ignored = map[string]bool{}
			for _, name := range in.Ignores() {
				s.Ignored[name] = true
			}
		}
	}
	if b.body != nil && !b.hasBody {
		return nil, at(fmt.Errorf("a %s has no body, but the input has json fields", r.Method))
	}
	var named []string
	for _, f := range b.path {
		named = append(named, f.Name)
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
func (b *binding) parameters(k *body.Shapes, t reflect.Type, at []int) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		index := append(append([]int(nil), at...), i)
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct {
			if err := b.parameters(k, sf.Type, index); err != nil {
				return err
			}
			continue
		}
		for tag, to := range map[string]*[]*body.Member{"path": &b.path, "query": &b.query, "header": &b.header} {
			name, ok := sf.Tag.Lookup(tag)
			if !ok {
				continue
			}
			f, err := k.Field(name, sf, index)
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
		text := strings.TrimPrefix(c.Param(f.Name), "/")
		if len(text) > maxParameter || f.Set(v.FieldByIndex(f.Index), []string{text}) != "" {
			return fault.New(fault.NotFound, "http.not_found", "there is no such %s", f.Name)
		}
	}
	if err := b.values(c.Request, v); err != nil {
		return err
	}
	for _, f := range b.header {
		if text := c.Request.Header.Get(f.Name); text != "" {
			if why := f.Set(v.FieldByIndex(f.Index), []string{text}); why != "" {
				return fault.New(fault.Malformed, "input.header", "header %s %s", f.Name, why)
			}
		}
	}
	return nil
}

// decode reads a body into v.
func (b *binding) decode(raw []byte, v reflect.Value) error {
	s := b.body
	if s == nil {
		if len(raw) == 0 {
			return nil
		}
		s = b.empty
	}
	return body.Decode(raw, s, v, b.lenience)
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
		why := f.Set(v.FieldByIndex(f.Index), given[f.Name])
		if why != "" {
			faults = append(faults, fault.Field{Pointer: f.Name, Message: why})
		}
	}
	if faults != nil {
		return fault.New(fault.Malformed, "input.query", "%s", body.Named(faults[0])).With(faults...)
	}
	return nil
}

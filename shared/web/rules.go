package web

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/naming"
)

// broken returns what is wrong with a value by the rules of its field; empty when nothing is.
func (r *rules) broken(s *shape, v reflect.Value) string {
	for s.kind == shapePointer {
		if v.IsNil() {
			return ""
		}
		s, v = s.elem, v.Elem()
	}
	switch s.kind {
	case shapeText:
		return r.text(v.String())
	case shapeWhole, shapeNumber:
		return r.number(numberOf(v))
	case shapeList:
		if why := r.length(float64(v.Len()), "elements"); why != "" {
			return why
		}
		if r.enum != nil && s.elem.kind == shapeText {
			for i := range v.Len() {
				if !slices.Contains(r.enum, v.Index(i).String()) {
					return "may hold only " + oneOf(r.enum)
				}
			}
		}
	case shapeTable:
		return r.length(float64(v.Len()), "members")
	}
	return ""
}

func (r *rules) text(s string) string {
	if r.enum != nil && !slices.Contains(r.enum, s) {
		return "must be " + oneOf(r.enum)
	}
	if len(s) > r.longest() {
		return r.tooLong()
	}
	if r.required && s == "" {
		return "must not be empty"
	}
	if why := r.length(float64(len(s)), "bytes"); why != "" || s == "" {
		return why
	}
	return formed(r.form, s)
}

// element returns what keeps an element of a list from having the form; one that is empty has none.
func (r *rules) element(v reflect.Value) string {
	if v.String() == "" {
		return "must not be empty"
	}
	return formed(r.form, v.String())
}

// The forms of a text, as the tag form says them (package naming).
const (
	formName = "name"
	formFree = "free"
)

// formed returns what keeps a text from having a form; empty when nothing does.
func formed(form, s string) string {
	switch form {
	case formName:
		if !naming.Valid(s) {
			return naming.Rule
		}
	case formFree:
		return naming.Free(s)
	}
	return ""
}

func (r *rules) tooLong() string { return fmt.Sprintf("must have at most %d bytes", r.longest()) }

// longest is the most bytes that a text may have.
func (r *rules) longest() int {
	if r.hasMax {
		return int(r.max)
	}
	return maxText
}

func (r *rules) length(n float64, unit string) string {
	switch {
	case r.hasMin && n < r.min && r.min == 1:
		return "must not be empty"
	case r.hasMin && n < r.min:
		return fmt.Sprintf("must have at least %s %s", plain(r.min), unit)
	case r.hasMax && n > r.max:
		return fmt.Sprintf("must have at most %s %s", plain(r.max), unit)
	}
	return ""
}

func (r *rules) number(n float64) string {
	switch {
	case r.hasMin && n < r.min:
		return "must be at least " + plain(r.min)
	case r.hasMax && n > r.max:
		return "must be at most " + plain(r.max)
	}
	return ""
}

func numberOf(v reflect.Value) float64 {
	switch {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	}
	return v.Float()
}

func plain(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func oneOf(words []string) string {
	if len(words) == 1 {
		return strconv.Quote(words[0])
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return "one of " + strings.Join(quoted, ", ")
}

// put sets v from the text of a parameter or a default. Words of an enum are matched without regard
// to case and stored as the tag spells them. It returns what is wrong, or empty.
func (f *field) put(v reflect.Value, s *shape, text string) string {
	bad := func() string { return "must be " + s.want() }
	switch s.kind {
	case shapePointer:
		p := reflect.New(s.elem.typ)
		if why := f.put(p.Elem(), s.elem, text); why != "" {
			return why
		}
		v.Set(p)
		return ""
	case shapeText:
		for _, w := range f.rules.enum {
			if strings.EqualFold(w, text) {
				text = w
			}
		}
		v.SetString(text)
	case shapeBool:
		if text != "true" && text != "false" {
			return bad()
		}
		v.SetBool(text == "true")
	case shapeWhole:
		if !putWhole(v, text) {
			return bad()
		}
	case shapeNumber:
		n, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil || n != n {
			return bad()
		}
		v.SetFloat(n)
	case shapeTime:
		if !putTime(v, text) {
			return bad()
		}
	case shapeCustom:
		u, ok := v.Addr().Interface().(interface{ UnmarshalText([]byte) error })
		if !ok || u.UnmarshalText([]byte(text)) != nil {
			return bad()
		}
	default:
		return bad()
	}
	return ""
}

// putTime sets v from a time in any form (decision 47); a moment is the first of what the text
// names.
func putTime(v reflect.Value, text string) bool {
	span, err := instant.Parse(text)
	switch to := v.Addr().Interface().(type) {
	case *time.Time:
		*to = span.First
	case *instant.Span:
		*to = span
	}
	return err == nil
}

func putWhole(v reflect.Value, text string) bool {
	if v.CanInt() {
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil || strings.HasPrefix(text, "+") {
			return false
		}
		v.SetInt(n)
		return true
	}
	n, err := strconv.ParseUint(text, 10, v.Type().Bits())
	if err != nil {
		return false
	}
	v.SetUint(n)
	return true
}

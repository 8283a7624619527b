package body

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/provisioning-platform/platform/shared/naming"
)

// broken returns what is wrong with a value by the rules of its field; empty when nothing is.
func (r *Rules) broken(s *Shape, v reflect.Value) string {
	for s.Kind == Pointer {
		if v.IsNil() {
			return ""
		}
		s, v = s.Elem, v.Elem()
	}
	switch s.Kind {
	case Text:
		return r.text(v.String())
	case Whole, Number:
		return r.number(numberOf(v))
	case List:
		if why := r.length(float64(v.Len()), "elements"); why != "" {
			return why
		}
		if r.Enum != nil && s.Elem.Kind == Text {
			for i := range v.Len() {
				if !slices.Contains(r.Enum, v.Index(i).String()) {
					return "may hold only " + OneOf(r.Enum)
				}
			}
		}
	case Table:
		return r.length(float64(v.Len()), "members")
	}
	return ""
}

func (r *Rules) text(s string) string {
	if r.Enum != nil && !slices.Contains(r.Enum, s) {
		return "must be " + OneOf(r.Enum)
	}
	if len(s) > r.longest() {
		return r.tooLong()
	}
	if r.Required && s == "" && !r.Empty {
		return "must not be empty"
	}
	if why := r.length(float64(len(s)), "bytes"); why != "" || s == "" {
		return why
	}
	return formed(r.Form, s)
}

// element returns what keeps an element of a list from having the form; one that is empty has none.
func (r *Rules) element(v reflect.Value) string {
	if v.String() == "" {
		return "must not be empty"
	}
	return formed(r.Form, v.String())
}

// The forms of a text, as the tag form says them (package naming). FormName is a name.
const (
	FormName = "name"
	formFree = "free"
)

// formed returns what keeps a text from having a form; empty when nothing does.
func formed(form, s string) string {
	switch form {
	case FormName:
		if !naming.Valid(s) {
			return naming.Rule
		}
	case formFree:
		return naming.Free(s)
	}
	return ""
}

func (r *Rules) tooLong() string { return fmt.Sprintf("must have at most %d bytes", r.longest()) }

// longest is the most bytes that a text may have.
func (r *Rules) longest() int {
	if r.HasMax {
		return int(r.Max)
	}
	return maxText
}

func (r *Rules) length(n float64, unit string) string {
	switch {
	case r.HasMin && n < r.Min && r.Min == 1:
		return "must not be empty"
	case r.HasMin && n < r.Min:
		return fmt.Sprintf("must have at least %s %s", plain(r.Min), unit)
	case r.HasMax && n > r.Max:
		return fmt.Sprintf("must have at most %s %s", plain(r.Max), unit)
	}
	return ""
}

func (r *Rules) number(n float64) string {
	switch {
	case r.HasMin && n < r.Min:
		return "must be at least " + plain(r.Min)
	case r.HasMax && n > r.Max:
		return "must be at most " + plain(r.Max)
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

// OneOf returns the words of an enum as a sentence names them: one of "a", "b".
func OneOf(words []string) string {
	if len(words) == 1 {
		return strconv.Quote(words[0])
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return "one of " + strings.Join(quoted, ", ")
}

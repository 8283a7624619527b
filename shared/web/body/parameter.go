package body

import (
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/instant"
)

// Set sets v from the texts of a parameter, or from the default when there is none. It returns what
// is wrong, or empty.
func (f *Member) Set(v reflect.Value, texts []string) string {
	why := ""
	switch {
	case len(texts) == 0 && f.Rules.HasDefault:
		return f.put(v, f.Shape, f.Rules.Default)
	case len(texts) == 0 && f.Rules.Required:
		return "is required"
	case len(texts) == 0:
		return ""
	case f.Shape.Kind == List:
		why = f.puts(v, texts)
	case len(texts) > 1:
		return "is given twice"
	default:
		why = f.put(v, f.Shape, texts[0])
	}
	if why != "" {
		return why
	}
	return f.Rules.broken(f.Shape, v)
}

// puts reads a parameter that may be given several times.
func (f *Member) puts(to reflect.Value, texts []string) string {
	out := reflect.MakeSlice(f.Shape.Type, len(texts), len(texts))
	for i, text := range texts {
		if why := f.put(out.Index(i), f.Shape.Elem, text); why != "" {
			return why
		}
	}
	to.Set(out)
	return ""
}

// put sets v from the text of a parameter or a default. Words of an enum are matched without regard
// to case and stored as the tag spells them. It returns what is wrong, or empty.
func (f *Member) put(v reflect.Value, s *Shape, text string) string {
	bad := func() string { return "must be " + s.Want() }
	switch s.Kind {
	case Pointer:
		p := reflect.New(s.Elem.Type)
		if why := f.put(p.Elem(), s.Elem, text); why != "" {
			return why
		}
		v.Set(p)
		return ""
	case Text:
		for _, w := range f.Rules.Enum {
			if strings.EqualFold(w, text) {
				text = w
			}
		}
		v.SetString(text)
	case Bool:
		if text != "true" && text != "false" {
			return bad()
		}
		v.SetBool(text == "true")
	case Whole:
		if !putWhole(v, text) {
			return bad()
		}
	case Number:
		n, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil || n != n {
			return bad()
		}
		v.SetFloat(n)
	case Time:
		if !putTime(v, text) {
			return bad()
		}
	case Custom:
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

package web

import (
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
)

// logText returns the text of an error for the log: fault.LogText, with every text of the body
// masked in what is no fault.
func (x *request) logText(err error) string {
	return fault.LogText(err, func(err error) string { return x.masked(err.Error()) })
}

// masked returns text with "…" in place of every text that the body holds.
func (x *request) masked(text string) string {
	for _, value := range textsOf(reflect.ValueOf(x.in), nil) {
		quoted := strconv.Quote(value)
		for _, form := range []string{value, quoted[1 : len(quoted)-1]} {
			text = strings.ReplaceAll(text, form, "…")
		}
	}
	return text
}

// leastMasked is the length from which a text of a body is masked: a shorter one is no secret, and
// is part of many words.
const leastMasked = 4

// textsOf appends to texts all texts that stand in v.
func textsOf(v reflect.Value, texts []string) []string {
	switch v.Kind() {
	case reflect.String:
		if text := v.String(); len(text) >= leastMasked {
			texts = append(texts, text)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			texts = textsOf(v.Elem(), texts)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return texts
		}
		for i := range v.NumField() {
			texts = textsOf(v.Field(i), texts)
		}
	case reflect.Map:
		for key, value := range v.Seq2() {
			texts = textsOf(value, textsOf(key, texts))
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 { // a member that is read later
			return texts
		}
		for i := range v.Len() {
			texts = textsOf(v.Index(i), texts)
		}
	}
	return texts
}

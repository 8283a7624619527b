package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds nesting inside the claims; ours are flat lists.
const maxDepth = 4

var (
	errSpelling = errors.New("not unpadded base64url in its only spelling")
	errJSON     = errors.New("not one strict JSON object")
	errType     = errors.New("a member is missing or of the wrong type")
)

// decode64 decodes unpadded base64url and accepts each byte string in exactly one spelling: Go's
// decoder alone would skip line breaks and, unless Strict, ignore trailing bits.
func decode64(s string) ([]byte, error) {
	for i := 0; i < len(s); i++ {
		if !isURL64(s[i]) {
			return nil, errSpelling
		}
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}

func isURL64(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// members is a JSON object with exact member names; numbers are json.Number.
type members map[string]any

// parseObject reads exactly one JSON object: valid UTF-8, no duplicate member at any depth, nothing behind it.
func parseObject(b []byte) (members, error) {
	if !utf8.Valid(b) || !json.Valid(b) {
		return nil, errJSON
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := parseValue(d, 0)
	if err != nil {
		return nil, err
	}
	m, ok := v.(members)
	if !ok {
		return nil, errJSON
	}
	return m, nil
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil || depth > maxDepth {
		return nil, errJSON
	}
	switch t {
	case json.Delim('{'):
		m := members{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, errJSON
			}
			key := name.(string)
			if _, twice := m[key]; twice {
				return nil, errJSON
			}
			if m[key], err = parseValue(d, depth+1); err != nil {
				return nil, err
			}
		}
		_, err = d.Token()
		return m, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := parseValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	return t, nil
}

// reader takes typed members out of an object and remembers the first fault.
type reader struct {
	m   members
	err error
}

func (r *reader) fail() { r.err = errType }

// text reads a string; a required one must not be empty.
func (r *reader) text(name string, required bool) string {
	v, present := r.m[name]
	if !present && !required {
		return ""
	}
	s, ok := v.(string)
	if !ok || required && s == "" {
		r.fail()
	}
	return s
}

// integer reads a non-negative whole number written without fraction or exponent.
func (r *reader) integer(name string, required bool) int64 {
	v, present := r.m[name]
	if !present && !required {
		return 0
	}
	n, ok := v.(json.Number)
	if !ok || strings.ContainsAny(n.String(), ".eE-") {
		r.fail()
		return 0
	}
	i, err := strconv.ParseInt(n.String(), 10, 64)
	if err != nil || i > maxTime {
		r.fail()
	}
	return i
}

// texts reads a list of distinct, non-empty strings; a required one has at least one element.
func (r *reader) texts(name string, required bool) []string {
	v, present := r.m[name]
	if !present && !required {
		return nil
	}
	list, ok := v.([]any)
	if !ok || required && len(list) == 0 {
		r.fail()
		return nil
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		s, ok := e.(string)
		if !ok || s == "" || contains(out, s) {
			r.fail()
			return nil
		}
		out = append(out, s)
	}
	return out
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

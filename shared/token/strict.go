package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/provisioning-platform/platform/shared/canonical"
)

// maxDepth is how deep claims may nest. The claims of this program are flat lists.
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

// parseObject reads exactly one JSON object with numbers as json.Number: valid UTF-8, no duplicate
// member at any depth, nothing behind it.
func parseObject(b []byte) (map[string]any, error) {
	if !utf8.Valid(b) {
		return nil, errJSON
	}
	v, err := canonical.Parse(b, maxDepth)
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, errJSON
	}
	return m, nil
}

// reader reads members of an object by their types and remembers a fault.
type reader struct {
	m   map[string]any
	err error
}

func (r *reader) fail() { r.err = errType }

// text returns a member that is a string. A required one must not be empty.
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

// integer returns a member that is a non-negative whole number written without fraction or
// exponent.
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

// texts returns a member that is a list of distinct, non-empty strings. A required one has at least
// one element.
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
		if !ok || s == "" || slices.Contains(out, s) {
			r.fail()
			return nil
		}
		out = append(out, s)
	}
	return out
}

// Package canonical makes, checks and reads canonical JSON, the only form that the body of a
// document has (decision 8):
//
//   - members stand in the order of the bytes of their names, none twice, without blanks;
//   - integers are within int64 and have neither fraction nor exponent, other numbers stand as
//     encoding/json prints them;
//   - in strings only '"', '\' and control characters are escaped, in their shortest form.
//
// One value has one such form, so equal documents have equal bytes and equal digests. Make encodes
// any value, a Writer encodes what is written too often for encoding/json, Check walks over a
// text, Members reads the members of an object, and Parse reads strictly what strangers wrote.
package canonical

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Body is the text of a document as this package made it. Only MakeBody and a Writer return one
// that vouches for its text, so whoever holds such a Body need not check the text again (ADR 4).
// The zero value has no text.
type Body struct {
	text  []byte
	sound bool // text is known to be canonical
}

// Bytes returns the text. Whoever changes its bytes in place makes the Body vouch for what nobody
// checked.
func (b Body) Bytes() []byte { return b.text }

// Vouches says whether text is the very text of b, not only one that is equal, and known to be
// canonical.
func (b Body) Vouches(text []byte) bool {
	return b.sound && len(text) > 0 && len(text) == len(b.text) && &text[0] == &b.text[0]
}

// Make returns v as canonical JSON. A struct whose fields stand in the order of their JSON names
// needs no second pass. Text that is not UTF-8 becomes U+FFFD, as encoding/json does. Make refuses
// numbers outside the rule, members that stand twice in a nested raw message, and values that nest
// deeper than maxDepth.
func Make(v any) ([]byte, error) {
	body, err := MakeBody(v)
	return body.text, err
}

// MakeBody returns what Make returns as a Body that vouches for it.
func MakeBody(v any) (Body, error) {
	buf := bytes.NewBuffer(make([]byte, 0, 512)) // most documents fit
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return Body{}, err
	}
	text := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	if Check(text) != nil {
		var err error
		if text, err = recode(text); err != nil {
			return Body{}, err
		}
	}
	return Body{text, true}, nil
}

// appendString appends s to b as a canonical JSON string: the bytes that Make returns for it,
// without the cost of Make.
func appendString[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	for at := 0; at < len(s); {
		n := plain(s, at)
		b = append(b, s[at:n]...)
		if n == len(s) {
			break
		}
		c, size := s[n], 1
		switch short := strings.IndexByte(shortFrom, c); {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case short >= 0:
			b = append(b, '\\', shortTo[short])
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', '0'+c>>4, hexDigits[c&15])
		default:
			var r rune // U+FFFD for a byte that is not UTF-8
			r, size = utf8.DecodeRuneInString(string(s[n:min(n+utf8.UTFMax, len(s))]))
			b = utf8.AppendRune(b, r)
		}
		at = n + size
	}
	return append(b, '"')
}

// recode rewrites any JSON text canonically.
func recode(text []byte) ([]byte, error) {
	v, err := Parse(text, maxDepth)
	if err != nil {
		return nil, err
	}
	return appendValue(make([]byte, 0, len(text)), v)
}

// appendValue appends a value of Parse.
func appendValue(out []byte, v any) (_ []byte, err error) {
	switch v := v.(type) {
	case bool:
		return strconv.AppendBool(out, v), nil
	case string:
		return appendString(out, v), nil
	case json.Number:
		return appendNumber(out, v.String())
	case []any:
		out = append(out, '[')
		for i := range v {
			if i > 0 {
				out = append(out, ',')
			}
			if out, err = appendValue(out, v[i]); err != nil {
				return nil, err
			}
		}
		return append(out, ']'), nil
	case map[string]any:
		out = append(out, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				out = append(out, ',')
			}
			if out, err = appendValue(append(appendString(out, name), ':'), v[name]); err != nil {
				return nil, err
			}
		}
		return append(out, '}'), nil
	}
	return append(out, "null"...), nil
}

// shortFrom has the control characters that have a short escape, shortTo the letter of each.
const (
	shortFrom = "\b\t\n\f\r"
	shortTo   = "btnfr"
	hexDigits = "0123456789abcdef"
)

// appendNumber appends a number of any spelling in its canonical form.
func appendNumber(out []byte, text string) ([]byte, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.AppendInt(out, n, 10), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, fmt.Errorf("number %s is out of range", text)
	}
	start := len(out)
	out = appendFloat(out, f)
	if err := checkNumber(out[start:]); err != nil {
		return nil, err
	}
	return out, nil
}

// appendFloat appends f as encoding/json prints it.
func appendFloat(out []byte, f float64) []byte {
	if f == 0 {
		return append(out, '0') // -0 too
	}
	text, err := json.Marshal(f)
	if err != nil { // not finite: nothing canonical, so the caller's check refuses it
		return append(out, '?')
	}
	return append(out, text...)
}

package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Canonical returns v as canonical JSON (decision 8), the only form a document body may have:
//
//   - members sorted by the bytes of their names, none twice, no blanks;
//   - integers within int64 without fraction or exponent, other floats as encoding/json prints them;
//   - in strings only '"', '\' and control characters are escaped, in their shortest form.
//
// A struct whose fields stand in the order of their JSON names needs no second pass. Text that is
// not UTF-8 becomes U+FFFD, as encoding/json does. Refused are numbers outside the rule, duplicate
// members of a nested raw message, and nesting deeper than MaxDepth.
func Canonical(v any) ([]byte, error) {
	buf := bytes.NewBuffer(make([]byte, 0, 512)) // most documents fit
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	body := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	if CheckCanonical(body) == nil {
		return body, nil
	}
	return recode(body)
}

// AppendString appends s as a canonical JSON string: the bytes of Canonical, without its cost for ASCII text.
func AppendString[T string | []byte](b []byte, s T) []byte {
	start := len(b)
	b = append(b, '"')
	for at := 0; ; {
		n := plain(s, at)
		b = append(b, s[at:n]...)
		if n == len(s) {
			return append(b, '"')
		}
		c := s[n]
		switch k := strings.IndexByte(shortFrom, c); {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case k >= 0:
			b = append(b, '\\', shortTo[k])
		default:
			quoted, _ := Canonical(string(s)) // cannot fail: what is not UTF-8 becomes U+FFFD
			return append(b[:start], quoted...)
		}
		at = n + 1
	}
}

// recode rewrites any JSON text canonically.
func recode(text []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	out, err := recodeValue(make([]byte, 0, len(text)), dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return out, nil
}

func recodeValue(out []byte, dec *json.Decoder, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("nested deeper than %d", MaxDepth)
	}
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch tok := tok.(type) {
	case nil:
		return append(out, "null"...), nil
	case bool:
		return strconv.AppendBool(out, tok), nil
	case string:
		return appendString(out, tok), nil
	case json.Number:
		return appendNumber(out, tok.String())
	case json.Delim:
		if tok == '[' {
			return recodeArray(out, dec, depth)
		}
		return recodeObject(out, dec, depth)
	}
	return nil, fmt.Errorf("unexpected token %v", tok)
}

func recodeArray(out []byte, dec *json.Decoder, depth int) ([]byte, error) {
	out = append(out, '[')
	for first := true; dec.More(); first = false {
		if !first {
			out = append(out, ',')
		}
		var err error
		if out, err = recodeValue(out, dec, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token() // the closing bracket
	return append(out, ']'), err
}

func recodeObject(out []byte, dec *json.Decoder, depth int) ([]byte, error) {
	type member struct {
		name  string
		value []byte
	}
	var members []member
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, err
		}
		value, err := recodeValue(nil, dec, depth+1)
		if err != nil {
			return nil, err
		}
		members = append(members, member{tok.(string), value})
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, err
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	out = append(out, '{')
	for i, m := range members {
		if i > 0 {
			if members[i-1].name == m.name {
				return nil, fmt.Errorf("member %q twice", m.name)
			}
			out = append(out, ',')
		}
		out = append(appendString(out, m.name), ':')
		out = append(out, m.value...)
	}
	return append(out, '}'), nil
}

// appendString appends s in its only canonical form.
func appendString(out []byte, s string) []byte {
	out = append(out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r >= 0x20:
			out = utf8.AppendRune(out, r)
		default:
			if short := strings.IndexByte(shortFrom, byte(r)); short >= 0 {
				out = append(out, '\\', shortTo[short])
			} else {
				out = append(out, '\\', 'u', '0', '0', '0'+byte(r>>4), hexDigits[r&15])
			}
		}
	}
	return append(out, '"')
}

// The control characters that have a short escape, and that escape.
const (
	shortFrom = "\b\t\n\f\r"
	shortTo   = "btnfr"
	hexDigits = "0123456789abcdef"
)

// appendNumber appends a number of any spelling in its only canonical form.
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

// appendFloat prints as encoding/json does.
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

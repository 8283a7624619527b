package body

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/provisioning-platform/platform/shared/fault"
)

// reader walks over the bytes of a body and takes what is JSON by our rules: UTF-8, no name twice
// in an object, nothing above the limits. It says only that it does not take what it meets;
// malformed says why.
type reader struct {
	body    []byte
	at      int
	skipped int  // where the last value began that was skipped
	whole   bool // it was one to be decoded
}

// errMalformed is the one error of a reader.
var errMalformed = errors.New("malformed")

// kind skips blanks and returns the byte that follows, 0 at the end.
func (r *reader) kind() byte {
	for ; r.at < len(r.body); r.at++ {
		switch c := r.body[r.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// more goes on to what follows n elements or members that have been read, of at most most, unless
// it is the end.
func (r *reader) more(n, most int, end byte) (bool, error) {
	if n == 0 {
		r.at++ // the bracket
	}
	switch k := r.kind(); {
	case k == end:
		r.at++
		return false, nil
	case n == 0:
		return true, nil
	case k == ',' && n < most:
		r.at++
		return true, nil
	}
	return false, errMalformed
}

// name reads the name of a member and the colon behind it.
func (r *reader) name() ([]byte, error) {
	if r.kind() != '"' {
		return nil, errMalformed
	}
	name, err := r.text()
	if err == nil && r.kind() != ':' {
		err = errMalformed
	}
	r.at++
	return name, err
}

// text reads a text and returns what it says, as a part of the body if that is possible.
func (r *reader) text() ([]byte, error) {
	start, ascii, verbatim := r.at, true, true
	for i := start + 1; i < len(r.body); i++ {
		switch c := r.body[i]; {
		case c == '"':
			r.at = i + 1
			said := r.body[start+1 : i]
			var err error
			if !verbatim {
				said, err = jsontext.AppendUnquote(nil, r.body[start:r.at])
			} else if !ascii && !utf8.Valid(said) {
				err = errMalformed
			}
			return said, err
		case c == '\\':
			verbatim = false
			i++
		case c < ' ':
			return nil, errMalformed
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, errMalformed
}

// skip goes past a value within so many objects and lists and returns its bytes; whole says what
// for.
func (r *reader) skip(depth int, whole bool) (jsontext.Value, error) {
	r.kind()
	r.skipped, r.whole = r.at, whole
	open, i := 0, r.at
	for ; i < len(r.body); i++ {
		c := r.body[i]
		switch c {
		case '"':
			i = textEnd(r.body, i)
		case '{', '[':
			open++
		case '}', ']':
			open--
		}
		if open < 0 || open == 0 && (c == ',' || c <= ' ') {
			break
		}
	}
	raw := jsontext.Value(r.body[r.at:min(i, len(r.body))])
	r.at = i
	if !simple(raw) && (structure(raw, depth) != "" || !raw.IsValid()) {
		return nil, errMalformed
	}
	return raw, nil
}

// simple says that a value is a word or a whole number, which the library need not look at.
func simple(raw []byte) bool {
	switch string(raw) {
	case "0", "false", "null", "true":
		return true
	}
	for _, c := range raw {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(raw) > 0 && raw[0] != '0'
}

// textEnd returns where the text that begins at i ends: at its last byte.
func textEnd(body []byte, i int) int {
	for i++; i < len(body) && body[i] != '"'; i++ {
		if body[i] == '\\' {
			i++
		}
	}
	return i
}

// malformed says why a body is no JSON object by our rules. Only what has been refused comes here,
// so that the library, which knows the place of an error, costs the others nothing. It is to read
// the value that the reader skipped last in one step, and all before it token by token, because
// places and offsets differ a little between its ways to read.
func (r *reader) malformed() error {
	if why := structure(r.body, 0); why != "" {
		return fault.New(fault.Malformed, "json.structure", "the body %s", why)
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(r.body))
	if dec.PeekKind() != '{' {
		if _, err := dec.ReadToken(); err != nil {
			return syntax(err)
		}
		return fault.New(fault.Malformed, "json.not_object", "the body must be a JSON object")
	}
	for first := true; first || dec.StackDepth() > 0; first = false {
		var err error
		dec.PeekKind()
		switch ahead := bytes.TrimLeft(r.body[dec.InputOffset():], ",: \t\r\n"); {
		case len(r.body)-len(ahead) != r.skipped:
			_, err = dec.ReadToken()
		case r.whole:
			_, err = dec.ReadValue()
		default:
			err = dec.SkipValue()
		}
		if err != nil {
			return syntax(err)
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return syntax(err)
	}
	return fault.New(fault.Malformed, "json.trailing", "the body must end behind its object")
}

// syntax turns an error of the JSON reader into a 400 with the place.
func syntax(err error) error {
	var s *jsontext.SyntacticError
	if !errors.As(err, &s) {
		return fault.New(fault.Malformed, "json.syntax", "the body is not valid JSON: it ends too early").Because(err)
	}
	place := string(s.JSONPointer)
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return fault.New(fault.Malformed, "json.duplicate", "%s stands twice in its object", place).
			With(fault.Field{Pointer: place, Message: "stands twice"}).Because(err)
	}
	f := fault.New(fault.Malformed, "json.syntax", "the body is not valid JSON at byte %d", s.ByteOffset).Because(err)
	if place != "" {
		f = f.With(fault.Field{Pointer: place, Message: "is not valid JSON"})
	}
	return f
}

// elementsIn returns about how many elements and members stand in a value: as many as could be kept
// of it.
func elementsIn(raw []byte) int {
	n := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i = textEnd(raw, i)
		case ',', '{', '[':
			n++
		}
	}
	return n
}

// structure walks over bytes within so many objects and lists without building anything and says
// what is too much about them: depth, members of one object, elements of one list. It knows texts,
// and leaves all else about syntax to others.
func structure(body []byte, depth int) string {
	var commas [maxDepth + 1]int
	var lists [maxDepth + 1]bool
	for i := 0; i < len(body); i++ {
		switch c := body[i]; c {
		case '"':
			i = textEnd(body, i)
		case '{', '[':
			if depth++; depth > maxDepth {
				return fmt.Sprintf("is nested deeper than %d levels", maxDepth)
			}
			commas[depth], lists[depth] = 0, c == '['
		case '}', ']':
			depth = max(0, depth-1)
		case ',':
			commas[depth]++
			if lists[depth] && commas[depth] >= maxElements {
				return fmt.Sprintf("has a list with more than %d elements", maxElements)
			}
			if !lists[depth] && commas[depth] >= maxMembers {
				return fmt.Sprintf("has an object with more than %d members", maxMembers)
			}
		}
	}
	return ""
}

package canonical

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"
)

// Scan is Check that also calls member, unless it is nil, for each member of the object that text
// is and for each member of the objects in it: those of a parent before the parent itself. The
// parent of a member of text is nil. Names and values are passed as they are written. When Scan
// returns an error, nothing that member was called with is to be used.
func Scan(text []byte, member func(parent, name, value []byte)) error {
	return scan(text, 0, member)
}

// scan is Scan of a text that stands depth levels deep in another.
func scan(text []byte, depth int, member func(parent, name, value []byte)) error {
	c := checker{b: text, member: member}
	if !c.value(depth) {
		return c.fault()
	}
	if c.at != len(text) {
		c.why = "text behind the value"
		return c.fault()
	}
	return nil
}

// Members yields the members of an object that is known to be valid JSON without blanks, as
// canonical JSON is: names and values as they are written. It serves readers that look at few
// members and pass the others on. A value that is not an object has no members.
func Members(object []byte) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		if len(object) == 0 || object[0] != '{' {
			return
		}
		for at := 1; at < len(object)-1; {
			colon := end(object, at)
			next := end(object, colon+1)
			if !yield(string(object[at+1:colon-1]), object[colon+1:next]) {
				return
			}
			at = next + 1
		}
	}
}

// end returns the place where the value ends that begins at i.
func end(b []byte, i int) int {
	for depth := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = closing(b, i)
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',', ':':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// closing returns the place of the quote that ends the string that begins at i.
func closing(b []byte, i int) int {
	for at := i + 1; ; at++ {
		at += bytes.IndexByte(b[at:], '"')
		escapes := 0
		for b[at-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return at
		}
	}
}

// Text returns the text of a value of Members, and false when the value is not a string.
func Text(value json.RawMessage) (string, bool) {
	if value[0] != '"' {
		return "", false
	}
	s := string(value[1 : len(value)-1])
	if strings.IndexByte(s, '\\') < 0 {
		return s, true
	}
	err := json.Unmarshal(value, &s)
	return s, err == nil
}

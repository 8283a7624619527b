package canonical

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"
)

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

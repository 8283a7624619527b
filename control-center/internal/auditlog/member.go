package auditlog

import (
	"bytes"
	"encoding/json"
	"iter"
	"time"
)

// members yields the members of an object that is known to be canonical JSON, names and values as they are written:
// entries are many, and most of what they say goes into a row unread.
func members(object []byte) iter.Seq2[string, json.RawMessage] {
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

// end returns where the value ends that begins at i.
func end(b []byte, i int) int {
	for depth := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
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

// text reads a string; false when the value is none.
func text(value json.RawMessage) (string, bool) {
	if value[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), true
	}
	var s string
	return s, json.Unmarshal(value, &s) == nil
}

// moment reads a time; false when the value is none, or in UTC none of RFC 3339.
func moment(value json.RawMessage) (time.Time, bool) {
	s, _ := text(value)
	t, err := time.Parse(time.RFC3339Nano, s)
	t = t.UTC()
	return t, err == nil && t.Year() >= 0 && t.Year() <= 9999
}

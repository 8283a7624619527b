package canonical

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may nest in canonical JSON.
const maxDepth = 128

// Check returns nil when text is canonical JSON as Make returns it, and otherwise an error with the
// offset of the first byte that is not. It walks over text once and allocates nothing then, for
// every commit calls it.
func Check(text []byte) error { return check(text, 0) }

// check is Check of a text that stands depth levels deep in another.
func check(text []byte, depth int) error {
	c := checker{b: text}
	if c.value(depth) && (c.at == len(text) || c.fail("text behind the value")) {
		return nil
	}
	return fmt.Errorf("byte %d: %s", c.at, c.why)
}

// checker walks over b. It looks at the byte at next, and notes in why what it found wrong there.
type checker struct {
	b   []byte
	at  int
	why string
}

func (c *checker) fail(why string) bool {
	c.why = why
	return false
}

func (c *checker) value(depth int) bool {
	if depth > maxDepth {
		return c.fail("nested too deep")
	}
	if c.at >= len(c.b) {
		return c.fail("unexpected end")
	}
	switch c.b[c.at] {
	case '"':
		_, _, ok := c.text()
		return ok
	case '{':
		return c.object(depth)
	case '[':
		return c.array(depth)
	case 't':
		return c.word("true")
	case 'f':
		return c.word("false")
	case 'n':
		return c.word("null")
	}
	return c.number()
}

func (c *checker) word(w string) bool {
	if len(c.b)-c.at < len(w) || string(c.b[c.at:c.at+len(w)]) != w {
		return c.fail("unknown word")
	}
	c.at += len(w)
	return true
}

// next consumes want and says whether it was there.
func (c *checker) next(want byte) bool {
	if c.at < len(c.b) && c.b[c.at] == want {
		c.at++
		return true
	}
	return false
}

func (c *checker) array(depth int) bool {
	c.at++
	if c.next(']') {
		return true
	}
	for {
		if !c.value(depth + 1) {
			return false
		}
		if c.next(']') {
			return true
		}
		if !c.next(',') {
			return c.fail("want , or ]")
		}
	}
}

func (c *checker) object(depth int) bool {
	c.at++
	if c.next('}') {
		return true
	}
	var last []byte
	lastPlain := true
	for first := true; ; first = false {
		start := c.at
		if c.at >= len(c.b) || c.b[c.at] != '"' {
			return c.fail("want a member name")
		}
		name, plain, ok := c.text()
		if !ok {
			return false
		}
		if !first && !ascending(last, name, lastPlain && plain) {
			c.at = start
			return c.fail("member names are not in ascending order")
		}
		last, lastPlain = name, plain
		if !c.next(':') {
			return c.fail("want :")
		}
		if !c.value(depth + 1) {
			return false
		}
		if c.next('}') {
			return true
		}
		if !c.next(',') {
			return c.fail("want , or }")
		}
	}
}

// ascending says whether a comes before b. It compares two member names as they are written, and
// without their escapes when one of them has some.
func ascending(a, b []byte, plain bool) bool {
	if plain {
		return bytes.Compare(a, b) < 0
	}
	return unescape(a) < unescape(b)
}

// unescape returns the text of a checked string that is written as s between its quotes.
func unescape(s []byte) (text string) {
	_ = json.Unmarshal(slices.Concat([]byte{'"'}, s, []byte{'"'}), &text)
	return text
}

// text consumes a string and returns what stands between its quotes. It returns bare as false when
// that has escapes.
func (c *checker) text() (raw []byte, bare, ok bool) {
	c.at++
	start, ascii := c.at, true
	bare = true
	for {
		c.at = plain(c.b, c.at)
		if c.at >= len(c.b) {
			return nil, false, c.fail("unexpected end of a string")
		}
		switch ch := c.b[c.at]; {
		case ch == '"':
			raw = c.b[start:c.at]
			if !ascii && !utf8.Valid(raw) {
				return nil, false, c.fail("a string that is not UTF-8")
			}
			c.at++
			return raw, bare, true
		case ch == '\\':
			bare = false
			if !c.escape() {
				return nil, false, c.fail("an escape that is not canonical")
			}
		case ch < 0x20:
			return nil, false, c.fail("a control character in a string")
		case ch >= 0x80:
			ascii = false
			c.at++
		default:
			c.at++
		}
	}
}

// plain returns the place, from at on, of the first byte of s that a canonical string escapes or
// that a reader has to check: a quote, a backslash, a control character, or a byte that is not
// ASCII. It looks at eight bytes at a time: the first byte of odd whose high bit is set is the
// first such byte.
func plain[T string | []byte](s T, at int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(s)-at >= 8 {
		t := s[at : at+8]
		w := uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 |
			uint64(t[4])<<32 | uint64(t[5])<<40 | uint64(t[6])<<48 | uint64(t[7])<<56
		odd := (w | (w - ones*0x20) | ((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones)) & highs
		if odd != 0 {
			return at + bits.TrailingZeros64(odd)/8
		}
		at += 8
	}
	for at < len(s) && s[at] >= 0x20 && s[at] < 0x80 && s[at] != '"' && s[at] != '\\' {
		at++
	}
	return at
}

// escape consumes one canonical escape.
func (c *checker) escape() bool {
	rest := c.b[c.at+1:]
	if len(rest) == 0 {
		return false
	}
	if rest[0] != 'u' {
		c.at += 2
		return rest[0] == '"' || rest[0] == '\\' || strings.IndexByte(shortTo, rest[0]) >= 0
	}
	if len(rest) < 5 || rest[1] != '0' || rest[2] != '0' || rest[3] > '1' || rest[3] < '0' {
		return false
	}
	low := strings.IndexByte(hexDigits, rest[4])
	if low < 0 || strings.IndexByte(shortFrom, (rest[3]-'0')<<4|byte(low)) >= 0 {
		return false
	}
	c.at += 6
	return true
}

func (c *checker) number() bool {
	end := c.at
	for end < len(c.b) && (c.b[end] >= '0' && c.b[end] <= '9' || c.b[end] == '-' || c.b[end] == '+' || c.b[end] == '.' || c.b[end] == 'e') {
		end++
	}
	if err := checkNumber(c.b[c.at:end]); err != nil {
		return c.fail(err.Error())
	}
	c.at = end
	return true
}

// checkNumber says whether text is a canonical number.
func checkNumber(text []byte) error {
	digits := text
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	whole := len(digits) > 0
	for _, d := range digits {
		if d < '0' || d > '9' {
			whole = false
		}
	}
	switch {
	case len(digits) == 0 || digits[0] < '0' || digits[0] > '9':
		return fmt.Errorf("not a JSON value")
	case whole && digits[0] == '0' && len(text) > 1:
		return fmt.Errorf("number %s has a zero too many", text)
	case whole && len(digits) < 19:
		return nil
	case whole:
		if _, err := strconv.ParseInt(string(text), 10, 64); err != nil {
			return fmt.Errorf("integer %s is outside int64", text)
		}
		return nil
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return fmt.Errorf("number %.40s cannot be read", text)
	}
	var room [32]byte
	if again := appendFloat(room[:0], f); !bytes.Equal(again, text) {
		return fmt.Errorf("number %.40s is not canonical, want %s", text, again)
	}
	return nil
}

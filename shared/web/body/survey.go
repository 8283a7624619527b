package body

import "fmt"

// Limits of a body's structure, refused before anything is kept of it (reliability-bar I03).
const (
	maxDepth    = 64
	maxMembers  = 10_000  // of one object
	maxElements = 100_000 // of one list
	maxInAll    = 300_000 // elements of all lists and members of all tables (decision 57)
	maxFaults   = 32      // reported at once
)

// survey is what a walk over the bytes of a value finds that builds nothing. It knows texts and
// brackets, and leaves all else about syntax to the library.
type survey struct {
	excess   string // what is too much about the value; then the walk has ended
	list     bool   // excess is about a list
	elements int    // elements and members, as many at least as could be kept of the value
	longest  int    // elements of its longest list
	zero     bool   // it may hold null, an empty text, or a number that is zero
	no       bool   // it holds false
}

// surveyOf walks over raw, which stands within so many objects and lists.
func surveyOf(raw []byte, depth int) (s survey) {
	var commas [maxDepth + 1]int
	var lists [maxDepth + 1]bool
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; c {
		case '"':
			end := textEnd(raw, i)
			s.zero = s.zero || end == i+1
			i = end
		case '{', '[':
			if depth++; depth > maxDepth {
				s.excess = fmt.Sprintf("is nested deeper than %d levels", maxDepth)
				return s
			}
			s.elements++
			commas[depth], lists[depth] = 0, c == '['
		case '}', ']':
			depth = max(0, depth-1)
		case ',':
			s.elements++
			switch commas[depth]++; {
			case !lists[depth] && commas[depth] >= maxMembers:
				s.excess = fmt.Sprintf("has an object with more than %d members", maxMembers)
				return s
			case lists[depth] && commas[depth] >= maxElements:
				s.list = true
				s.excess = fmt.Sprintf("has a list with more than %d elements", maxElements)
				return s
			case lists[depth]:
				s.longest = max(s.longest, commas[depth]+1)
			}
		case 'n':
			s.zero = true
		case 'f':
			s.no = true
		case '0':
			s.zero = s.zero || i == 0 || raw[i-1] == '-' || raw[i-1] <= ' ' || raw[i-1] == ':' || raw[i-1] == ',' || raw[i-1] == '['
		}
	}
	return s
}

// textEnd returns where the text that begins at i ends: at its last byte.
func textEnd(raw []byte, i int) int {
	for i++; i < len(raw) && raw[i] != '"'; i++ {
		if raw[i] == '\\' {
			i++
		}
	}
	return i
}

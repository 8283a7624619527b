package config

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/provisioning-platform/platform/shared/fault"
)

// DecodeTOML reads a TOML document strictly into a struct with toml tags: for the packages that
// have files of their own. name is what errors call it.
func DecodeTOML(data []byte, into any, name string) error {
	_, err := decode(data, into, name)
	return err
}

// decode reads a document and returns the keys it sets; nil keys when the document is no TOML. The
// error has a line for each problem. A value of the wrong type is as good as not there: its key
// keeps what into held before.
func decode(data []byte, into any, name string) (map[string]any, error) {
	data = WithoutMark(data)
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		return nil, fault.New(fault.Invalid, "config.toml", "%s%s", where(err, name), hint(data, err))
	}
	var problems Problems
	rest, unknown, err := decodeTyped(data, into, name, &problems)
	if err != nil {
		return nil, err
	}
	tree = nil
	if err := toml.Unmarshal(rest, &tree); err != nil {
		return nil, fault.New(fault.Invalid, "config.toml", "%s", where(err, name))
	}
	set := map[string]any{}
	flatten(tree, "", set)
	if unknown != nil {
		unknownKeys(unknown, into, name, &problems)
	}
	otherSpellings(tree, reflect.TypeOf(into).Elem(), "", func(member, got, right string) {
		problems.Add("%s:%d: unknown key %s (did you mean %s?)", name, lineOf(data, member), got, right)
	})
	bareDurations(into, set, name, &problems)
	return set, problems.Err()
}

// where returns the text of an error of the library with the place in the file.
func where(err error, name string) string {
	var at *toml.DecodeError
	if !errors.As(err, &at) {
		return name + ": " + strings.TrimPrefix(err.Error(), "toml: ")
	}
	line, column := at.Position()
	return fmt.Sprintf("%s:%d:%d: %s", name, line, column, reason(at))
}

// WithoutMark returns text without the byte order mark that some editors write at its beginning.
func WithoutMark(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) }

// otherSpellings notes keys that the library matched although their case differs: what one reader
// takes for a setting, another does not see. v is what stands in the document where t is read.
func otherSpellings(v any, t reflect.Type, key string, note func(member, got, right string)) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := v.(type) {
	case []any:
		for _, elem := range v {
			if t.Kind() == reflect.Slice {
				otherSpellings(elem, t.Elem(), key, note)
			}
		}
	case map[string]any:
		for _, member := range slices.Sorted(maps.Keys(v)) {
			if t.Kind() == reflect.Map {
				otherSpellings(v[member], t.Elem(), join(key, member), note)
			}
			if t.Kind() != reflect.Struct || readsText(t) {
				continue
			}
			for name, field := range fieldsOf(t) {
				switch {
				case name == member:
					otherSpellings(v[member], field, join(key, member), note)
				case strings.EqualFold(name, member):
					note(member, join(key, member), join(key, name))
				}
			}
		}
	}
}

// fieldsOf returns the types of the fields of a struct by their toml tags, with those of embedded
// ones.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if f.Anonymous && name == "" {
			maps.Copy(fields, fieldsOf(f.Type))
		} else if name != "" && name != "-" {
			fields[name] = f.Type
		}
	}
	return fields
}

// lineOf returns the number of the first line that has text.
func lineOf(data []byte, text string) int {
	before, _, _ := bytes.Cut(data, []byte(text))
	return bytes.Count(before, []byte("\n")) + 1
}

// bareDurations refuses a number where a time span belongs: the library would take it for
// nanoseconds.
func bareDurations(into any, set map[string]any, name string, problems *Problems) {
	walk(reflect.ValueOf(into).Elem(), "", func(key string, v reflect.Value) {
		if n, isNumber := set[key].(int64); isNumber && v.Type() == reflect.TypeFor[Duration]() {
			problems.Add("%s: %s must be a time span with a unit, such as \"%ds\", not %d", name, key, n, n)
		}
	})
}

// reason is the library's text without what it quotes: a value may be a secret.
func reason(e *toml.DecodeError) string {
	text := strings.TrimPrefix(e.Error(), "toml: ")
	if key := strings.Join(e.Key(), "."); key != "" && !strings.Contains(text, key) {
		text = key + ": " + text
	}
	return text
}

// hint helps with the one mistake that a published example of this system makes (I21): a list of
// inline tables over several lines, which TOML does not have.
func hint(data []byte, err error) string {
	var at *toml.DecodeError
	if !errors.As(err, &at) {
		return ""
	}
	line, _ := at.Position()
	lines := strings.Split(string(data), "\n")
	for i := min(line, len(lines)) - 1; i >= 0; i-- {
		text := strings.TrimSpace(lines[i])
		key, rest, isKey := strings.Cut(text, "=")
		if isKey && strings.HasPrefix(strings.TrimSpace(rest), "[") && !strings.Contains(rest, "]") {
			table := strings.TrimSpace(key)
			for j := i; j >= 0; j-- {
				if t := strings.TrimSpace(lines[j]); strings.HasPrefix(t, "[") && strings.HasSuffix(t, "]") && len(t) > 2 {
					table = strings.Trim(t, "[] ") + "." + table
					break
				}
			}
			return fmt.Sprintf("; inline tables cannot span lines: write every element as [[%s]] with its keys below", table)
		}
	}
	return ""
}

// unknownKeys notes every key that nothing reads, with its line and the key that was probably
// meant.
func unknownKeys(e *toml.StrictMissingError, into any, name string, problems *Problems) {
	known := knownKeys(reflect.TypeOf(into).Elem(), "", map[reflect.Type]bool{})
	for _, d := range e.Errors {
		key := strings.Join(d.Key(), ".")
		line, _ := d.Position()
		problems.Add("%s:%d: unknown key %s%s", name, line, key, suggest(key, known))
	}
}

// knownKeys returns the keys of a type; elements of maps and lists stand as "*".
func knownKeys(t reflect.Type, key string, inside map[reflect.Type]bool) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case readsText(t) || inside[t]:
		return []string{key}
	case t.Kind() == reflect.Map:
		return knownKeys(t.Elem(), join(key, "*"), inside)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && !readsText(t.Elem()):
		return knownKeys(t.Elem(), key, inside)
	case t.Kind() != reflect.Struct:
		return []string{key}
	}
	inside[t] = true
	defer delete(inside, t)
	var keys []string
	if key != "" {
		keys = append(keys, key)
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if f.Anonymous && name == "" {
			keys = append(keys, knownKeys(f.Type, key, inside)...)
		} else if name != "" && name != "-" {
			keys = append(keys, knownKeys(f.Type, join(key, name), inside)...)
		}
	}
	return keys
}

// flatten collects the dotted keys that a document sets, with their values; a list's own value is
// true.
func flatten(v any, key string, into map[string]any) {
	switch v := v.(type) {
	case map[string]any:
		for name, elem := range v {
			flatten(elem, join(key, name), into)
		}
	case []any:
		into[key] = true
		for i, elem := range v {
			flatten(elem, join(key, strconv.Itoa(i)), into)
		}
	default:
		into[key] = v
	}
}

// suggest returns " (did you mean …?)" for a known key that is close, else nothing.
func suggest(key string, known []string) string {
	best, at := "", len(key)/3+1
	for _, k := range known {
		if star := strings.Index(k, "*"); star >= 0 && len(key) > star && key[:star] == k[:star] {
			if name, _, ok := strings.Cut(key[star:], "."); ok { // put the element's own name in the star's place
				k = k[:star] + name + k[star+1:]
			}
		}
		if d := distance(key, k); d <= at {
			best, at = k, d-1
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// distance is the number of single-character edits between two texts.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

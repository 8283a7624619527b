package canonical

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Parse returns the value of text, which must be one JSON value and nothing else: nil, a bool, a
// string, a json.Number, an []any or a map[string]any. Unlike encoding/json it refuses an object
// with a member twice, however the name is written, and arrays and objects that nest deeper than
// depth. What is not UTF-8 in a string becomes U+FFFD.
func Parse(text []byte, depth int) (any, error) {
	if !json.Valid(text) {
		return nil, errors.New("not one JSON value")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return parse(dec, depth)
}

func parse(dec *json.Decoder, depth int) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if depth < 0 {
		return nil, errors.New("nested too deep")
	}
	switch token {
	case json.Delim('{'):
		object := map[string]any{}
		for dec.More() {
			token, err := dec.Token()
			if err != nil {
				return nil, err
			}
			name := token.(string)
			if _, twice := object[name]; twice {
				return nil, fmt.Errorf("member %q twice", name)
			}
			if object[name], err = parse(dec, depth-1); err != nil {
				return nil, err
			}
		}
		_, err = dec.Token() // the closing brace
		return object, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			value, err := parse(dec, depth-1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = dec.Token() // the closing bracket
		return list, err
	}
	return token, nil
}

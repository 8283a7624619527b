package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/provisioning-platform/platform/shared/fault"
)

// CheckJSON says where text stops being JSON: a usage error with the line and column of the file
// name.
func CheckJSON(name string, text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	var value json.RawMessage
	err := dec.Decode(&value)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		line, column := lineColumn(text, int(syntax.Offset)-1)
		return Usage("%s:%d:%d: this is not JSON: %s", name, line, column, syntax)
	case err != nil: // the text ends too early
		line, column := lineColumn(text, len(text))
		return Usage("%s:%d:%d: this is not JSON: it ends before its value is complete", name, line, column)
	}
	if rest := bytes.TrimLeft(text[dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		line, column := lineColumn(text, len(text)-len(rest))
		return Usage("%s:%d:%d: there is something behind the JSON value", name, line, column)
	}
	return nil
}

// Located returns err with the line and column of the file for each field that the service named,
// so that an editor finds all of them; a member that is missing stands at its object. Errors
// without fields come back as they are.
func Located(name string, text []byte, err error) error {
	f := fault.Of(err)
	if f == nil || len(f.Fields) == 0 {
		return err
	}
	offsets := map[string]int{}
	if locate(json.NewDecoder(bytes.NewReader(text)), text, "", offsets) != nil {
		return err
	}
	located := *f
	located.Fields = append([]fault.Field(nil), f.Fields...)
	for i, field := range located.Fields {
		pointer := field.Pointer
		offset, ok := offsets[pointer]
		for !ok && pointer != "" {
			pointer = pointer[:max(strings.LastIndexByte(pointer, '/'), 0)]
			offset, ok = offsets[pointer]
		}
		line, column := lineColumn(text, offset)
		located.Fields[i].Pointer = fmt.Sprintf("%s:%d:%d: %s", name, line, column, field.Pointer)
	}
	return &located
}

// locate reads one value from dec and notes the offset in text of it and of each value in it by
// JSON pointer (RFC 6901).
func locate(dec *json.Decoder, text []byte, pointer string, offsets map[string]int) error {
	start := int(dec.InputOffset())
	for start < len(text) && strings.IndexByte(" \t\r\n:,", text[start]) >= 0 {
		start++
	}
	offsets[pointer] = start
	token, err := dec.Token()
	if err != nil {
		return err
	}
	open, nested := token.(json.Delim)
	for i := 0; nested && dec.More(); i++ {
		member := strconv.Itoa(i)
		if open == '{' {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			member = strings.NewReplacer("~", "~0", "/", "~1").Replace(fmt.Sprint(name))
		}
		if err := locate(dec, text, pointer+"/"+member, offsets); err != nil {
			return err
		}
	}
	if nested {
		_, err = dec.Token()
	}
	return err
}

// lineColumn returns the line and the column, from 1 and in characters, of an offset.
func lineColumn(text []byte, offset int) (line, column int) {
	offset = min(max(offset, 0), len(text))
	before := text[:offset]
	line = bytes.Count(before, []byte("\n")) + 1
	column = len([]rune(string(before[bytes.LastIndexByte(before, '\n')+1:]))) + 1
	return line, column
}

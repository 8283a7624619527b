package config

import (
	"bytes"
	"errors"
	"reflect"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/provisioning-platform/platform/shared/fault"
)

// decodeTyped decodes a document that is TOML into *into and notes every value of a wrong type. The
// library stops at the first one, so decodeTyped takes the statement with it out of the document
// and decodes again. It returns the document without those statements, each line where it was, and
// the keys that are unknown.
func decodeTyped(data []byte, into any, name string, problems *Problems) (rest []byte, unknown *toml.StrictMissingError, err error) {
	target := reflect.ValueOf(into).Elem()
	before := reflect.New(target.Type()).Elem()
	before.Set(target)
	rest = bytes.Clone(data)
	for {
		target.Set(before)
		err := toml.NewDecoder(bytes.NewReader(rest)).DisallowUnknownFields().Decode(into)
		var wrong *toml.DecodeError
		switch {
		case err == nil || errors.As(err, &unknown):
			return rest, unknown, nil
		case !errors.As(err, &wrong):
			return nil, nil, fault.New(fault.Invalid, "config.toml", "%s", where(err, name))
		}
		problems.Add("%s", where(err, name))
		if line, column := wrong.Position(); !takeOut(rest, line, column) {
			return nil, nil, problems.Err()
		}
	}
}

// takeOut overwrites the statement at a line and column, both from 1, with blanks and says whether
// there was one. The statement of a table's head is the whole table.
func takeOut(doc []byte, line, column int) bool {
	at := column - 1
	for i := 0; line > 1 && i < len(doc); i++ {
		if at++; doc[i] == '\n' {
			line--
		}
	}
	var p unstable.Parser
	p.Reset(doc)
	table := -1 // where the line of the head begins whose table is taken out
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.KeyValue:
			if start := int(e.Raw.Offset); table < 0 && start <= at && at < start+int(e.Raw.Length) {
				blank(doc[start : start+int(e.Raw.Length)])
				return true
			}
		case unstable.Table, unstable.ArrayTable:
			keys := e.Key()
			keys.Next()
			key := int(keys.Node().Raw.Offset)
			start := bytes.LastIndexByte(doc[:key], '\n') + 1
			if table >= 0 {
				blank(doc[table:start])
				return true
			}
			if end := key + bytes.IndexByte(append(doc[key:len(doc):len(doc)], '\n'), '\n'); start <= at && at < end {
				table = start
			}
		}
	}
	if table >= 0 {
		blank(doc[table:])
	}
	return table >= 0
}

// blank overwrites all but the ends of lines.
func blank(text []byte) {
	for i, c := range text {
		if c != '\n' && c != '\r' {
			text[i] = ' '
		}
	}
}

package store

import (
	"bytes"
	"encoding/json"
)

// Canonical returns v as canonical JSON (decision 8): members sorted bytewise, no blanks, integers
// within int64 without fraction. A struct whose fields stand in the order of their JSON names needs no
// second pass. Errors: what encoding/json cannot encode, and numbers outside the rule.
func Canonical(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil // PROVISIONAL: the store helper completes this (sorting, checks)
}

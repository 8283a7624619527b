package body

import (
	"bytes"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/provisioning-platform/platform/shared/instant"
)

// Encode writes v as JSON, with maps in a fixed order and times in the one form of the wire
// (decision 47). What a program wrote may be no UTF-8; the JSON still is.
func Encode(to *bytes.Buffer, v any) error {
	if err := json.MarshalWrite(to, v, answers); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return nil
}

var answers = json.JoinOptions(json.Deterministic(true), jsontext.AllowInvalidUTF8(true), json.WithMarshalers(json.MarshalToFunc(
	func(to *jsontext.Encoder, t time.Time) error {
		return to.WriteValue(append(instant.Append(append(to.AvailableBuffer(), '"'), t), '"'))
	})))

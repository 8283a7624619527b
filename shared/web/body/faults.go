package body

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/provisioning-platform/platform/shared/fault"
)

// Invalid returns the 422 that lists faults; its text names the first.
func Invalid(faults []fault.Field) error {
	text := Named(faults[0])
	if n := len(faults) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return fault.New(fault.Invalid, "input.invalid", "%s", text).With(faults...)
}

// Named returns a fault as a sentence that begins with its place.
func Named(f fault.Field) string {
	if f.Pointer == "" {
		return "the body " + f.Message
	}
	return f.Pointer + " " + f.Message
}

// syntax turns an error of the JSON reader into a 400 with the place.
func syntax(err error) error {
	var s *jsontext.SyntacticError
	if !errors.As(err, &s) {
		return fault.New(fault.Malformed, "json.syntax", "the body is not valid JSON: it ends too early").Because(err)
	}
	place := string(s.JSONPointer)
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return fault.New(fault.Malformed, "json.duplicate", "%s stands twice in its object", place).
			With(fault.Field{Pointer: place, Message: "stands twice"}).Because(err)
	}
	f := fault.New(fault.Malformed, "json.syntax", "the body is not valid JSON at byte %d", s.ByteOffset).Because(err)
	if place != "" {
		f = f.With(fault.Field{Pointer: place, Message: "is not valid JSON"})
	}
	return f
}

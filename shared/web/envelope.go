package web

import (
	"bytes"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web/body"
)

// envelope writes {"success":true,"data":…}.
func envelope(to *bytes.Buffer, data any) (string, error) {
	to.WriteString(`{"success":true,"data":`)
	if err := body.Encode(to, data); err != nil {
		return "", err
	}
	to.WriteByte('}')
	return "", nil
}

// refusal is the envelope of an error; members behind error are additive.
type refusal struct {
	Success   bool          `json:"success"`
	Error     string        `json:"error"`
	Code      string        `json:"code"`
	Fields    []fault.Field `json:"fields,omitempty"`
	RequestID string        `json:"request_id,omitempty"`
}

func envelopeError(to *bytes.Buffer, _ int, f *fault.Error, requestID string) string {
	v := refusal{Error: f.Message, Code: f.Code, Fields: f.Fields, RequestID: requestID}
	if err := body.Encode(to, &v); err != nil { // cannot happen: texts only
		to.Reset()
		to.WriteString(`{"success":false,"error":"internal error","code":"internal"}`)
	}
	return ""
}

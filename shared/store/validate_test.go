package store

import (
	"testing"

	"github.com/provisioning-platform/platform/shared/canonical"
)

func TestValidate_looksAtABodyThatWasExchanged(t *testing.T) {
	t.Parallel()
	schema := Schema{Service: "s", Kinds: []Kind{{Name: "k"}}}
	var e canonical.Writer
	e.Begin()
	e.Text("a", "x")
	e.End()
	w := NewPut(Key{Kind: "k", ID: "1"}, Any(), nil, e.Body())
	if err := Validate(schema, Batch{Writes: []Write{w}}); err != nil {
		t.Error(err)
	}
	for _, body := range []string{`{ "a":"x"}`, `{"a":"y" }`} {
		bad := w
		bad.Body = []byte(body)
		if Validate(schema, Batch{Writes: []Write{bad}}) == nil {
			t.Errorf("accepted %s", body)
		}
	}
	bad := w
	bad.Body = bad.Body[:len(bad.Body)-1]
	if Validate(schema, Batch{Writes: []Write{bad}}) == nil {
		t.Errorf("accepted %s", bad.Body)
	}
}

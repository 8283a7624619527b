package openapi

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/naming"
	"github.com/provisioning-platform/platform/shared/web/body"
)

type labelled struct {
	Name  string   `json:"name" required:"true" form:"name"`
	Other string   `json:"other" form:"name"`
	Names []string `json:"names" form:"name"`
	Title string   `json:"title" form:"free" max:"20"`
}

// TestForm_isInTheSchema shows the rule of names to whoever generates a client.
func TestForm_isInTheSchema(t *testing.T) {
	t.Parallel()
	s, err := body.NewShapes().Of(reflect.TypeFor[labelled]())
	if err != nil {
		t.Fatal(err)
	}
	c := newSchemas()
	c.of(s, false)
	doc, err := json.Marshal(c.components["Labelled"])
	if err != nil {
		t.Fatal(err)
	}
	pattern, _ := json.Marshal(naming.Pattern)
	if got := strings.Count(string(doc), `"pattern":`+string(pattern)); got != 3 {
		t.Errorf("%d of 3 names have their pattern: %s", got, doc)
	}
	if _, err := body.NewShapes().Of(reflect.TypeFor[struct {
		A string `json:"a" form:"nmae"`
	}]()); err == nil {
		t.Error("a misspelt form is silence")
	}
}

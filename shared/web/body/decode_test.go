package body

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/provisioning-platform/platform/shared/fault"
)

// thing is an input with one of everything.
type thing struct {
	Name   string            `json:"name" required:"true" max:"256" doc:"what it is called" example:"web-01"`
	Size   int               `json:"size" min:"0" max:"10" default:"3"`
	Big    int64             `json:"big"`
	Ratio  float64           `json:"ratio"`
	On     *bool             `json:"on"`
	Kind   string            `json:"kind" enum:"small,large"`
	Tags   []string          `json:"tags" max:"4"`
	Labels map[string]string `json:"labels"`
	Parts  []part            `json:"parts"`
	When   *time.Time        `json:"when"`
	Free   any               `json:"free"`
	Lists  [][]int           `json:"lists"`
}

type part struct {
	ID string `json:"id" required:"true"`
	N  int    `json:"n" min:"1"`
}

// TestDecode_nothingOfOneBodyIsInTheNext reads bodies with one decoder, whose lists share their
// room.
func TestDecode_nothingOfOneBodyIsInTheNext(t *testing.T) {
	t.Parallel()
	s, err := NewShapes().Of(reflect.TypeFor[thing]())
	if err != nil {
		t.Fatal(err)
	}
	var d Decoder
	read := func(body string) (got thing, err error) {
		err = d.Decode([]byte(body), s, reflect.ValueOf(&got).Elem())
		return got, err
	}
	first, err := read(`{"name":"a","tags":["x","y","z"],"parts":[{"id":"p","n":7},{"id":"q","n":8}]}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`{"name":"a","parts":[{"id":"bad","n":9},{"id":1}]}`, `{"name":"a","parts":[{"id":"bad","n":9},{"id":`} {
		if _, err := read(bad); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
	second, err := read(`{"name":"b","tags":[],"parts":[{"id":"r"},{"id":"s"}]}`)
	if err != nil || len(second.Tags) != 0 || second.Tags == nil || fmt.Sprint(second.Parts) != "[{r 0} {s 0}]" {
		t.Errorf("%+v, %v", second, err)
	}
	if fmt.Sprint(first.Name, first.Tags, first.Parts) != "a[x y z] [{p 7} {q 8}]" {
		t.Errorf("the first is now %+v", first)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(`{"name":"a","parts":[{"id":"x"}]}`)
	f.Add(`{"name":"a","free":{"x":[1,null]},"labels":{"a":"b"}}`)
	f.Add(` {"name" : "\ud83d\ude00é", "tags":["\\",1], "x":1e5, "labels":{"a":"b","a":1}, "on" : true}  `)
	s, err := NewShapes().Of(reflect.TypeFor[thing]())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		v := reflect.New(reflect.TypeFor[thing]()).Elem()
		err := new(Decoder).Decode([]byte(body), s, v)
		if err != nil && fault.KindOf(err) != fault.Malformed && fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", body, err)
		}
		object := strings.HasPrefix(strings.TrimLeft(body, " \t\r\n"), "{") && jsontext.Value(body).IsValid() && structure([]byte(body), 0) == ""
		if object == fault.Is(err, fault.Malformed) { // the library has the last word on what is JSON
			t.Errorf("%q: %v", body, err)
		}
	})
}

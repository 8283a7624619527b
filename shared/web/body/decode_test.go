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
	s, err := NewShapes().Input(reflect.TypeFor[thing]())
	if err != nil {
		t.Fatal(err)
	}
	read := func(body string) (got thing, err error) {
		err = Decode([]byte(body), s, reflect.ValueOf(&got).Elem(), Lenience{})
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
	s, err := NewShapes().Input(reflect.TypeFor[thing]())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		v := reflect.New(reflect.TypeFor[thing]()).Elem()
		err := Decode([]byte(body), s, v, Lenience{})
		plain := reflect.New(reflect.TypeFor[thing]()).Elem()
		walked := *s
		walked.plain = false
		if slow := Decode([]byte(body), &walked, plain, Lenience{}); fmt.Sprint(slow) != fmt.Sprint(err) || err == nil &&
			!reflect.DeepEqual(v.Interface(), plain.Interface()) {
			t.Errorf("%q: the library reads %+v, %v, the walk %+v, %v", body, v, err, plain, slow)
		}
		if err != nil && fault.KindOf(err) != fault.Malformed && fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", body, err)
		}
		object := strings.HasPrefix(strings.TrimLeft(body, " \t\r\n"), "{") && jsontext.Value(body).IsValid() &&
			surveyOf([]byte(body), 0).excess == ""
		many := fault.Is(err, fault.Invalid) && len(fault.Of(err).Fields) == maxFaults // the rest is not read
		if object == fault.Is(err, fault.Malformed) && !many {                         // the library has the last word on what is JSON
			t.Errorf("%q: %v", body, err)
		}
	})
}

// absent is an input whose defaults and rules tell absent members from zero ones.
type absent struct {
	On    bool     `json:"on" default:"true"`
	Size  int      `json:"size" default:"3" min:"1"`
	Ratio float64  `json:"ratio" min:"1"`
	Word  string   `json:"word" enum:"a,b"`
	Inner *inner   `json:"inner"`
	Rows  []inner  `json:"rows"`
	Plain inner    `json:"plain"`
	List  []string `json:"list" min:"1" max:"3"`
}

type inner struct {
	On   bool   `json:"on" default:"true"`
	N    int    `json:"n" default:"7"`
	Name string `json:"name" required:"true"`
}

// TestDecode_whatIsAbsentIsNotZero reads each body with the library first and by the walk alone:
// the library does not know what was absent.
func TestDecode_whatIsAbsentIsNotZero(t *testing.T) {
	t.Parallel()
	s, err := NewShapes().Input(reflect.TypeFor[absent]())
	if err != nil || !s.plain {
		t.Fatal(err, s.plain)
	}
	walked := *s
	walked.plain = false
	const rest = `"plain":{"name":"x"}`
	for body, want := range map[string]string{
		`{` + rest + `}`: "true 3 0  7 0", `{"on":false,` + rest + `}`: "false 3 0  7 0", `{"size":0,` + rest + `}`: "/size", `{"ratio":0.5,` + rest + `}`: "/ratio", `{"ratio":1e-400,` + rest + `}`: "/ratio",
		`{"word":"",` + rest + `}`: "/word", `{"word":"a",` + rest + `}`: "true 3 0 a 7 0", `{"plain":{}}`: "/plain/name", `{}`: "true 3 0  0 0", `{"plain":{"name":""}}`: "/plain/name",
		`{"inner":{},` + rest + `}`: "/inner/name", `{"rows":[{"name":"a"},{"name":"b","n":0,"on":false}],` + rest + `}`: "true 3 0  7 7", `{"rows":[{"name":"a","n":1}],` + rest + `}`: "true 3 0  7 1",
		`{"rows":[{}],` + rest + `}`: "/rows/0/name", `{"list":[],` + rest + `}`: "/list", `{"list":["a","b","c","d"],` + rest + `}`: "/list", `{"inner":null,` + rest + `}`: "/inner",
	} {
		var got [2]string
		for i, shape := range []*Shape{s, &walked} {
			var v absent
			if err := Decode([]byte(body), shape, reflect.ValueOf(&v).Elem(), Lenience{}); err != nil {
				got[i] = fault.Of(err).Fields[0].Pointer
				continue
			}
			n := 0
			if len(v.Rows) > 0 {
				n = v.Rows[0].N
			}
			got[i] = fmt.Sprintf("%v %v %v %s %d %d", v.On, v.Size, v.Ratio, v.Word, v.Plain.N, n)
		}
		if got[0] != want || got[1] != want {
			t.Errorf("%s: %s, by the walk %s, want %s", body, got[0], got[1], want)
		}
	}
}

// TestDecode_aParameterIsNoMember: the library would set a field that the path sets, by its Go
// name.
func TestDecode_aParameterIsNoMember(t *testing.T) {
	t.Parallel()
	type input struct {
		ID   string `path:"id"`
		Name string `json:"name"`
	}
	s, err := NewShapes().Input(reflect.TypeFor[input]())
	if err != nil {
		t.Fatal(err)
	}
	v := input{ID: "mine"}
	if err := Decode([]byte(`{"name":"a","ID":"yours"}`), s, reflect.ValueOf(&v).Elem(), Lenience{}); !fault.Is(err, fault.Invalid) || v.ID != "mine" {
		t.Errorf("%+v, %v", v, err)
	}
	v = input{ID: "mine"}
	if err := Decode([]byte(`{"name":"a"}`), s, reflect.ValueOf(&v).Elem(), Lenience{}); err != nil || v != (input{"mine", "a"}) {
		t.Errorf("%+v, %v", v, err)
	}
}

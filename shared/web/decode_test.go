package web

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
)

// TestDecode_table is I02 and I06: what is no JSON is 400, what is of the wrong shape 422 with a
// pointer.
func TestDecode_table(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	member := func(text string) string { return `{"name":"a",` + text + `}` }
	for body, want := range map[string]string{
		// syntax
		`{`: "400", `{"name":"a"`: "400", `{"name":"a",}`: "400", `{"name" "a"}`: "400", `{name:"a"}`: "400", `{'name':'a'}`: "400", ` `: "400",
		`{"name":"a"} `: "201", "\n\t{\"name\" : \"a\"}\r\n": "201",
		`[]`: "400", `[{"name":"a"}]`: "400", `"a"`: "400", `1`: "400", `true`: "400", `null`: "400", `nul`: "400",
		`{"name":"a"}{}`: "400", `{"name":"a"}x`: "400", `{"name":"a"},`: "400", `{"name":"a"} // c`: "400", `{/*c*/"name":"a"}`: "400",
		"\ufeff{\"name\":\"a\"}": "400", "{\"name\":\"\xff\"}": "400", `{"name":"\ud800"}`: "400", "{\"name\":\"a\x01\"}": "400", "{\"name\":\"a\nb\"}": "400",
		`{"name":"a","name":"b"}`: "400 /name", member(`"parts":[{"id":"x","id":"y"}]`): "400 /parts/0/id", member(`"free":{"a":1,"a":2}`): "400 /free/a",
		member(`"x":{"a":1,"a":2}`): "400 /x/a", `{"name":"a","\u006eame":"b"}`: "400 /name",
		member(`"size":01`): "400", member(`"size":+1`): "400", member(`"size":0x1`): "400", member(`"size":NaN`): "400", member(`"size":.5`): "400",
		// members
		`{}`: "422 /name", `{"Name":"a"}`: "422 /Name /name", `{"NAME":"a"}`: "422 /NAME /name", member(`"x":1`): "422 /x", member(`"a/b~c":1`): "422 /a~1b~0c",
		`{"name":null}`: "422 /name", `{"name":""}`: "422 /name", `{"name":1}`: "422 /name", `{"name":["a"]}`: "422 /name", `{"name":{}}`: "422 /name", `{"name":true}`: "422 /name",
		`{"name":"` + strings.Repeat("x", 256) + `"}`: "201", `{"name":"` + strings.Repeat("x", 257) + `"}`: "422 /name",
		`{"size":99,"on":"x","tags":[1,"a",null],"parts":[{},{"id":"a","n":0},3],"labels":{"a":1}}`: "422 /size /on /tags/0 /tags/2 /parts/0/id /parts/1/n /parts/2 /labels/a /name",
		// numbers
		member(`"size":-1`): "422 /size", member(`"size":0`): "201", member(`"size":10`): "201", member(`"size":11`): "422 /size", member(`"size":1.0`): "422 /size", member(`"size":1e1`): "422 /size",
		member(`"size":"1"`): "422 /size", member(`"size":true`): "422 /size", member(`"size":-0`): "201",
		member(`"big":2147483648`): "201", member(`"big":9007199254740993`): "201", member(`"big":9223372036854775807`): "201", member(`"big":9223372036854775808`): "422 /big", member(`"big":1e400`): "422 /big",
		member(`"ratio":1e400`): "422 /ratio", member(`"ratio":-0`): "201", member(`"ratio":"1"`): "422 /ratio", member(`"ratio":3`): "201",
		// the rest
		member(`"on":true`): "201", member(`"on":1`): "422 /on", member(`"on":null`): "422 /on",
		member(`"kind":"small"`): "201", member(`"kind":"Small"`): "422 /kind", member(`"kind":""`): "422 /kind",
		member(`"tags":[]`): "201", member(`"tags":"a"`): "422 /tags", member(`"tags":{}`): "422 /tags", member(`"tags":["a","b","c","d","e"]`): "422 /tags",
		member(`"labels":{"a":"b"}`): "201", member(`"labels":[]`): "422 /labels", member(`"free":[null,{"x":[1.5]}]`): "201", member(`"free":null`): "201",
		member(`"when":"2025-09-26T10:00:00Z"`): "201", member(`"when":"yesterday"`): "422 /when", member(`"when":5`): "422 /when",
		member(`"parts":[{"id":"a","n":1}]`): "201", member(`"parts":[{"id":"a","m":1}]`): "422 /parts/0/m",
	} {
		w := g.send("POST", "/things", body, asAlice)
		got := fmt.Sprint(w.Code)
		if w.Code != 201 {
			f := refusalOf(t, w)
			for _, x := range f.Fields {
				got += " " + x.Pointer
			}
			if w.Code == 422 && !strings.HasPrefix(f.Error, f.Fields[0].Pointer) {
				t.Errorf("%s: the text does not name the member: %s", body, f.Error)
			}
		}
		if got != want && (want != "400" || !strings.HasPrefix(got, "400")) {
			t.Errorf("%.80s: %s, want %s (%s)", body, got, want, w.Body.String())
		}
	}
}

func TestDecode_valuesArriveExactly(t *testing.T) {
	t.Parallel()
	var got thing
	g := newRig(t, func(c *Config) {
		c.Routes = []Route{{Method: "POST", Path: "/t", Op: "t", Permission: Open(), Reads: true,
			Handle: To(func(_ context.Context, in thing) (Notice, error) {
				got = in
				return "", nil
			})}}
	})
	text := "a\x00b\u202e\u200b\n\u0301é"
	quoted, _ := json.Marshal(text)
	if w := g.send("POST", "/t", `{"name":`+string(quoted)+`,"big":9007199254740993,"when":"2025-09-26T12:00:00+02:00"}`); w.Code != 200 {
		t.Fatal(w.Body.String())
	}
	if got.Name != text || got.Big != 9007199254740993 || got.Size != 3 || got.On != nil ||
		!got.When.Equal(time.Date(2025, 9, 26, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", got)
	}
}

// The limits of a body (reliability-bar I03, decision 57).
const (
	maxMembers  = 10_000
	maxElements = 100_000
	maxInAll    = 300_000
)

// TestDecode_hostileStructure is I03. It runs alone, because it judges the work by the bytes that
// the process allocates: a few times the body at most, whatever its structure.
func TestDecode_hostileStructure(t *testing.T) {
	g := newRig(t, nil)
	members, elements := make([]string, maxMembers+1), make([]string, maxElements+1)
	for i := range members {
		members[i] = fmt.Sprintf(`"m%d":1`, i)
	}
	for i := range elements {
		elements[i] = "1"
	}
	nest := func(n int) string {
		return `{"name":"a","free":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"64 levels":        {nest(63), 201},
		"65 levels":        {nest(64), 400},
		"unknown, deep":    {`{"x":` + strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 71), 400},
		"brackets":         {strings.Repeat("[", 1_000_000), 400},
		"braces":           {strings.Repeat(`{"a":`, 200_000), 400},
		"members":          {"{" + strings.Join(members, ",") + "}", 400},
		"elements":         {`{"name":"a","free":[` + strings.Join(elements, ",") + `]}`, 400},
		"elements, few":    {`{"name":"a","tags":[` + strings.Join(elements, ",") + `]}`, 422},
		"unknown members":  {"{" + strings.Join(members[:9000], ",") + "}", 422},
		"brackets in text": {`{"name":"a","kind":"` + strings.Repeat("[", 1000) + `"}`, 422},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w := g.send("POST", "/things", c.body, asAlice)
		runtime.ReadMemStats(&after)
		if w.Code != c.status {
			t.Errorf("%s: %d %.200s", name, w.Code, w.Body.String())
		}
		if made := after.TotalAlloc - before.TotalAlloc; made > uint64(4*len(c.body)+1<<20) {
			t.Errorf("%s: %d bytes were allocated for a body of %d", name, made, len(c.body))
		}
		if w.Body.Len() > 16<<10 {
			t.Errorf("%s: an answer of %d bytes", name, w.Body.Len())
		}
	}
}

// TestDecode_elementsAreLimitedInAll is decision 57: many lists within their limits are too much
// together, in a typed member and in a free one.
func TestDecode_elementsAreLimitedInAll(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", 300), ",") + "]"
	if w := g.send("POST", "/things", `{"name":"a","lists":[[`+strings.Repeat("1,", maxElements)+`1]]}`, asAlice); w.Code != 400 {
		t.Errorf("one list of %d elements: %d %.200s", maxElements+1, w.Code, w.Body)
	}
	for _, member := range []string{"lists", "free"} {
		for lists, want := range map[int]int{900: 201, maxInAll/300 + 1: 422} {
			w := g.send("POST", "/things", `{"name":"a","`+member+`":[`+strings.TrimSuffix(strings.Repeat(list+",", lists), ",")+`]}`, asAlice)
			if w.Code != want || want == 422 && !strings.Contains(w.Body.String(), "300000 elements in all") {
				t.Errorf("%d lists in %s: %d %.200s, want %d", lists, member, w.Code, w.Body, want)
			}
		}
	}
}

type ranged struct {
	From int `query:"from"`
	To   int `json:"to"`
}

func (r ranged) Validate() []fault.Field {
	switch {
	case r.From > 9:
		return []fault.Field{{Pointer: "from", Message: "is too large"}}
	case r.To > 9:
		return []fault.Field{{Pointer: "/to", Message: "is too large"}}
	}
	return nil
}

func TestValidate_queryFaultsAre400AndBodyFaults422(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) {
		c.Routes = []Route{{Method: "POST", Path: "/t", Op: "t", Permission: Open(), Reads: true,
			Handle: To(func(_ context.Context, _ ranged) (Notice, error) { return "", nil })}}
	})
	for at, want := range map[string]int{"/t?from=1 {}": 200, "/t?from=10 {}": 400, `/t {"to":10}`: 422} {
		path, body, _ := strings.Cut(at, " ")
		if w := g.send("POST", path, body); w.Code != want {
			t.Errorf("%s: %d", at, w.Code)
		}
	}
}

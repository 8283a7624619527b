package canonical

import (
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzMembers puts an object together again from its members.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{`{}`, `{"":0}`, `{"a":"},{\"b\\","c":[{"d":[]},"]"],"e":{"f":null}}`, `[1]`, `"x"`, `{"a":"\u0041\\"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want map[string]any
		if Check(text) != nil || json.Unmarshal(text, &want) != nil {
			return
		}
		got := map[string]any{}
		for name, value := range Members(text) {
			var v any
			var key string
			if err := json.Unmarshal(value, &v); err != nil {
				t.Fatalf("%s has a member %s: %s", text, name, value)
			}
			if err := json.Unmarshal([]byte(`"`+name+`"`), &key); err != nil {
				t.Fatal(err)
			}
			s, isText := v.(string)
			if read, ok := Text(value); ok != isText || read != s {
				t.Errorf("%s is read as %q, %v", value, read, ok)
			}
			got[key] = v
		}
		if len(want) != len(got) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s has the members %v", text, got)
		}
	})
}

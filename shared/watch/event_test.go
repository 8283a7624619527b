package watch

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestItem_keepsTheStoredBytes(t *testing.T) {
	t.Parallel()
	for stored, want := range map[string]string{
		`{"event_type":"TaskStatusChanged","n":1e2}`: `{"event_type":"TaskStatusChanged","n":1e2,"epoch":"e","sequence":7}`,
		`{}`:   `{"epoch":"e","sequence":7}`,
		`null`: `{"epoch":"e","sequence":7}`,
		`[1]`:  `{"epoch":"e","sequence":7}`,
		``:     `{"epoch":"e","sequence":7}`,
	} {
		it := (&item{seq: 7, epoch: "e", stored: []byte(stored)}).ready()
		if string(it.body) != want || !json.Valid(it.body) {
			t.Errorf("%q became %s", stored, it.body)
		}
	}
	long := `{"a":"` + strings.Repeat("x", 65400) + `"}`
	for _, stored := range []string{`{"a":1}`, `{"a":"` + strings.Repeat("x", 200) + `"}`, long, long[:65408] + strings.Repeat("x", 200) + `"}`} {
		it := (&item{seq: 1, epoch: "e", stored: []byte(stored)}).ready()
		if !strings.HasSuffix(string(it.frame), string(it.body)) || len(it.frame)-len(it.body) > maxHeader {
			t.Errorf("frame of %d bytes over a body of %d", len(it.frame), len(it.body))
		}
	}
}

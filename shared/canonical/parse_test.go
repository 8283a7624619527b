package canonical

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestParse_refusesWhatTwoReadersCouldTakeForDifferentThings(t *testing.T) {
	t.Parallel()
	got, err := Parse([]byte(` {"b":[1.0,null,{"c":"\u00e4"}],"a":true} `), 3)
	want := map[string]any{"a": true, "b": []any{json.Number("1.0"), nil, map[string]any{"c": "ä"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{``, `{}{}`, `{} x`, `{"a":1,"a":1}`, `{"a":1,"\u0061":1}`, `[{"a":{"b":1,"b":2}}]`, `[[[[1]]]]`, `{"a":[[{"b":1}]]}`, `[1,]`, `{"a":1,}`, `{'a':1}`, `01`, `NaN`} {
		if v, err := Parse([]byte(bad), 3); err == nil {
			t.Errorf("%s is taken as %v", bad, v)
		}
	}
}

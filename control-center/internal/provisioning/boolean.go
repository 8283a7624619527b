package provisioning

import (
	"fmt"
	"strings"
)

// boolean is true or false in any of the forms that the original takes (contract 1.1): also 0 and
// 1, and words such as yes and off.
type boolean bool

var words = map[string]boolean{
	"true": true, "1": true, "yes": true, "on": true, "t": true, "y": true,
	"false": false, "0": false, "no": false, "off": false, "f": false, "n": false,
}

// UnmarshalText reads a parameter.
func (b *boolean) UnmarshalText(text []byte) error {
	v, ok := words[strings.ToLower(string(text))]
	if !ok {
		return fmt.Errorf("neither true nor false: %q", text)
	}
	*b = v
	return nil
}

// UnmarshalJSON reads a member.
func (b *boolean) UnmarshalJSON(raw []byte) error {
	return b.UnmarshalText([]byte(strings.Trim(string(raw), `"`)))
}

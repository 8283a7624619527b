package infra

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/provisioning-platform/platform/shared/config"
)

// ReadableFormats returns the decoders for TOML and JSON, and for YAML when one is handed in.
// Unknown members of a struct are errors: a misspelt name must not be silence.
func ReadableFormats(yaml func(data []byte, into any) error) Formats {
	f := Formats{
		"toml": func(data []byte, into any) error { return config.DecodeTOML(data, into, "line") },
		"json": func(data []byte, into any) error {
			d := json.NewDecoder(bytes.NewReader(config.WithoutMark(data)))
			d.DisallowUnknownFields()
			if err := d.Decode(into); err != nil {
				return err
			}
			if d.More() {
				return fmt.Errorf("there is more behind the value")
			}
			return nil
		},
	}
	if yaml != nil {
		f["yaml"], f["yml"] = yaml, yaml
	}
	return f
}

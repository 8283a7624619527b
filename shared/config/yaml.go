package config

import (
	"bytes"

	"go.yaml.in/yaml/v3"
)

// DecodeYAML reads a YAML document strictly into a struct with yaml tags, or loosely into a map: for the packages
// that have files of their own.
func DecodeYAML(data []byte, into any) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	return dec.Decode(into)
}

// EncodeYAML writes a JSON document as YAML in block style, members in the same order and under the same names.
func EncodeYAML(doc []byte) ([]byte, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(doc, &node); err != nil {
		return nil, err
	}
	plain(&node)
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return nil, err
	}
	return buf.Bytes(), enc.Close()
}

// plain turns the flow style that JSON has in YAML into block style.
func plain(n *yaml.Node) {
	n.Style &^= yaml.FlowStyle
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.Style = 0
	}
	for _, c := range n.Content {
		plain(c)
	}
}

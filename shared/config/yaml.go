package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// DecodeYAML reads a YAML document strictly into a struct with yaml tags, or loosely into a map:
// for the packages that have files of their own.
func DecodeYAML(data []byte, into any) error {
	dec := yaml.NewDecoder(bytes.NewReader(WithoutMark(data)))
	dec.KnownFields(true)
	return dec.Decode(into)
}

// EncodeYAML writes a JSON document as YAML in block style, members in the same order and under the
// same names. Readers of YAML 1.1 and 1.2 get the values of the document: a text that one of them
// would take for something else (no, 12:30, 2026-01-01) stands in quotes. Characters without a
// shape are escaped.
func EncodeYAML(doc []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	node, err := yamlNode(dec)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(node), enc.Close()); err != nil {
		return nil, err
	}
	var out strings.Builder
	for _, r := range buf.String() {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&out, `\U%08x`, r) // inside double quotes: nothing else has such a character
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return []byte(out.String()), nil
}

// yamlNode reads one JSON value.
func yamlNode(dec *json.Decoder) (*yaml.Node, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		node := &yaml.Node{Kind: yaml.SequenceNode}
		if v == '{' {
			node.Kind = yaml.MappingNode
		}
		for dec.More() { // a member's name is a value like any other here
			elem, err := yamlNode(dec)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, elem)
		}
		if len(node.Content) == 0 {
			node.Style = yaml.FlowStyle // [] or {}
		}
		_, err := dec.Token()
		return node, err
	case string:
		node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v}
		if !plainText(v) {
			node.Style = yaml.DoubleQuotedStyle
		}
		return node, nil
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: v.String()}, nil
	}
	if token == nil {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: "null"}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(token)}, nil
}

var (
	plainWords = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_/.,@%+-]*( [A-Za-z0-9_/.,@%+(-][A-Za-z0-9_/.,@%+()-]*)*$`)
	plainUUID  = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	notText    = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
)

// plainText says whether every version of YAML reads text without quotes as this text.
func plainText(text string) bool {
	return plainUUID.MatchString(text) || plainWords.MatchString(text) && !slices.Contains(notText, strings.ToLower(text))
}

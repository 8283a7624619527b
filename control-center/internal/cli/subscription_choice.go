package cli

import (
	"strings"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

// choiceFlags are the flags of create and update that say what of the messages is delivered.
type choiceFlags struct {
	set     *cli.Flags
	filters []string
	redact  []string
}

func (c *choiceFlags) declare(f *cli.Flags) {
	c.set = f
	f.StringArrayVar(&c.filters, "filter", nil, "only objects with MEMBER=TEXT, TEXT* or *TEXT, before or after the change, such as "+
		"properties.mailPrimaryAddress=*@example.com; may be repeated, then all have to hold; empty: all objects")
	f.StringArrayVar(&c.redact, "redact", nil,
		"leave this member out of deliveries, such as properties.password; may be repeated; empty: none")
}

// filter returns the conditions that were given; nil when none was, and an empty list for an empty
// --filter.
func (c *choiceFlags) filter() (*[]client.EventCondition, error) {
	if !c.set.Changed("filter") {
		return nil, nil
	}
	all := []client.EventCondition{}
	for _, text := range c.filters {
		if text == "" {
			continue
		}
		member, value, found := strings.Cut(text, "=")
		if !found || member == "" || strings.Trim(value, "*") == "" {
			return nil, cli.Usage("--filter is MEMBER=TEXT, MEMBER=TEXT* or MEMBER=*TEXT, not %q", text)
		}
		one := client.EventCondition{Member: member}
		if begin, ok := strings.CutSuffix(value, "*"); ok {
			one.Prefix = begin
		} else if end, ok := strings.CutPrefix(value, "*"); ok {
			one.Suffix = end
		} else {
			one.Equals = value
		}
		all = append(all, one)
	}
	return &all, nil
}

// left returns the members that deliveries do not have; nil when none was given.
func (c *choiceFlags) left() *[]string {
	if !c.set.Changed("redact") {
		return nil
	}
	all := []string{}
	for _, member := range c.redact {
		if member != "" {
			all = append(all, member)
		}
	}
	return &all
}

func filterText(all []client.EventCondition) string {
	words := make([]string, len(all))
	for i, c := range all {
		text := c.Equals
		if c.Prefix != "" {
			text = c.Prefix + "*"
		}
		if c.Suffix != "" {
			text = "*" + c.Suffix
		}
		words[i] = c.Member + "=" + text
	}
	return join(words)
}

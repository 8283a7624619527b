package subscription

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/shared/store"
)

// Limits of what a subscription chooses of messages.
const (
	maxConditions = 20
	maxRedacted   = 100
	maxMember     = 256 // bytes of a member's path, and of a text that it is compared with
)

// Condition is what an object has to have, before or after the change, for its message to be
// delivered: the member at a path with dots ("properties.mailPrimaryAddress") is a text, or a list
// with one, that equals, begins or ends so. Numbers and booleans are compared as JSON writes them.
type Condition struct {
	Equals string `json:"equals,omitempty"`
	Member string `json:"member"`
	Prefix string `json:"prefix,omitempty"`
	Suffix string `json:"suffix,omitempty"`
}

// check returns what is wrong with c; empty when nothing is.
func (c Condition) check() string {
	given := 0
	for _, text := range []string{c.Equals, c.Prefix, c.Suffix} {
		if text != "" {
			given++
		}
		if len(text) > maxMember {
			return fmt.Sprintf("compares with more than %d bytes", maxMember)
		}
	}
	switch {
	case c.Member == "" || len(c.Member) > maxMember:
		return fmt.Sprintf("needs a member, a path of 1 to %d bytes", maxMember)
	case given != 1:
		return "needs exactly one of equals, prefix, suffix"
	}
	return ""
}

// holds says whether a text is what c asks for.
func (c Condition) holds(text string) bool {
	switch {
	case c.Equals != "":
		return text == c.Equals
	case c.Prefix != "":
		return strings.HasPrefix(text, c.Prefix)
	}
	return strings.HasSuffix(text, c.Suffix)
}

// wants says whether a message is delivered: its object fulfils every condition, before or after
// the change, so that a consumer hears of what leaves its part of the directory, too.
func wants(filter []Condition, body json.RawMessage) bool {
	if len(filter) == 0 {
		return true
	}
	var sides struct{ Old, New json.RawMessage }
	if json.Unmarshal(body, &sides) != nil {
		return true // a body that nobody can read is the consumer's to refuse
	}
	return fulfils(filter, sides.New) || fulfils(filter, sides.Old)
}

func fulfils(filter []Condition, object json.RawMessage) bool {
	for _, c := range filter {
		if !slices.ContainsFunc(texts(object, strings.Split(c.Member, ".")), c.holds) {
			return false
		}
	}
	return true
}

// texts returns the texts at a path of an object.
func texts(value json.RawMessage, path []string) (found []string) {
	value = bytes.TrimSpace(value)
	var list []json.RawMessage
	switch {
	case len(value) == 0:
	case value[0] == '[' && json.Unmarshal(value, &list) == nil:
		for _, element := range list {
			found = append(found, texts(element, path)...)
		}
	case len(path) > 0:
		var members map[string]json.RawMessage
		if json.Unmarshal(value, &members) == nil {
			return texts(members[path[0]], path[1:])
		}
	case value[0] == '"':
		text := ""
		if json.Unmarshal(value, &text) == nil {
			found = []string{text}
		}
	case value[0] != '{':
		found = []string{string(value)}
	}
	return found
}

// redact returns a body whose objects have none of the members at the paths. A body without them is
// returned as it is, byte for byte.
func redact(paths []string, body json.RawMessage) json.RawMessage {
	for _, path := range paths {
		for _, side := range []string{"old", "new"} {
			if changed, ok := without(body, append([]string{side}, strings.Split(path, ".")...)); ok {
				body = changed
			}
		}
	}
	return body
}

// without returns an object without the member at a path, and whether it had one.
func without(object json.RawMessage, path []string) (json.RawMessage, bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil {
		return object, false
	}
	value, ok := members[path[0]]
	if !ok {
		return object, false
	}
	if len(path) == 1 {
		delete(members, path[0])
	} else if members[path[0]], ok = without(value, path[1:]); !ok {
		return object, false
	}
	text, err := json.Marshal(members)
	return text, err == nil
}

// checkChoice adds to wrong what is wrong with a filter and a list of members to leave out.
func checkChoice(filter []Condition, left []string, wrong func(pointer, message string, args ...any)) {
	if len(filter) > maxConditions {
		wrong("/filter", "a filter has at most %d conditions; this one has %d", maxConditions, len(filter))
	}
	for i, c := range filter {
		if why := c.check(); why != "" {
			wrong(fmt.Sprintf("/filter/%d", i), "the condition %s", why)
		}
	}
	if len(left) > maxRedacted {
		wrong("/redact", "at most %d members are left out; these are %d", maxRedacted, len(left))
	}
	for i, path := range left {
		if path == "" || len(path) > maxMember {
			wrong(fmt.Sprintf("/redact/%d", i), "a member is a path of 1 to %d bytes", maxMember)
		}
	}
}

// skipLook is how many messages skip looks at in one commit.
const skipLook = 64

// skip moves a queue, of which nothing is in flight or settled ahead, over the first messages that
// its filter does not want. They get no number, so the numbers stay without gaps. It says whether
// it has moved.
func (s *Subscriptions) skip(ctx context.Context, sub *Subscription, one *flight, row store.Row[Queue]) (bool, error) {
	q := row.Value
	if len(sub.Filter) == 0 || len(one.of)+len(q.Settled)+len(q.Counts) > 0 || q.PrefillNext < q.PrefillEnd {
		return false, nil
	}
	items, err := s.upcoming(ctx, sub, &q, skipLook)
	if err != nil {
		return false, err
	}
	for _, it := range items {
		m, err := s.message(ctx, sub.Generation, it)
		if err != nil {
			return false, err
		}
		if wants(sub.Filter, m.Body) {
			break
		}
		q.Cursor = it.at
	}
	if q.Cursor == row.Value.Cursor {
		return false, nil
	}
	return true, s.save(ctx, store.Row[Queue]{Value: q, Rev: row.Rev})
}

// chosenOf returns those messages that a filter wants.
func chosenOf(filter []Condition, messages []directory.Message) []directory.Message {
	return slices.DeleteFunc(slices.Clone(messages), func(m directory.Message) bool { return m.Unfit == "" && !wants(filter, m.Body) })
}

package subscription

import (
	"slices"
	"strings"
	"sync"

	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// topicList is the list of one topic's messages: what the router knows of it. There is one for each
// topic that something was ever published in.
type topicList struct {
	Digest string `json:"digest"` // digestOf; the value of the messages' index
	Last   uint64 `json:"last"`   // number of the newest message
	Length uint64 `json:"length"` // messages ever; the ordinal of the newest
	Realm  string `json:"realm"`
	Topic  string `json:"topic"`
}

var topicLists = store.Table[topicList]{Kind: "topic", ID: func(t topicList) string { return t.Digest }}

// routed is the row of a message in the list of its topic.
type routed struct {
	Number  uint64 `json:"number"`
	Object  string `json:"object,omitempty"` // digest of Message.Object
	Ordinal uint64 `json:"ordinal"`          // place in the list of the topic, from 1
	Topic   string `json:"topic"`            // digestOf
}

var routedMessages = store.Table[routed]{
	Kind:  "message",
	ID:    func(r routed) string { return numberID(r.Number) },
	Index: func(r routed) []store.IndexKey { return []store.IndexKey{{Name: "topic", Value: r.Topic}} },
}

// digestOf returns the name of a topic in indexes, which take less than the longest topic has.
func digestOf(realm, topic string) string { return id.Digest(realm + "\x00" + topic) }

// privateRealm is the realm of the lists of messages that are for one subscription only. No
// subscription can ask for it, and no message can be published in it: it is no free text.
const privateRealm = "\x00"

// topicOf returns the list that a message stands in.
func topicOf(h directory.Header) (realm, topic string) {
	if h.To != "" {
		return privateRealm, h.To
	}
	return h.Realm, h.Topic
}

// pattern returns the prefix that t asks for and whether it asks for more than one topic.
func (t Topic) pattern() (prefix string, ok bool) {
	if !strings.HasSuffix(t.Topic, "*") {
		return "", false
	}
	return strings.TrimSuffix(strings.TrimSuffix(t.Topic, "*"), "."), true
}

// Matches says whether t wants the messages of a topic.
func (t Topic) Matches(realm, topic string) bool {
	if prefix, ok := t.pattern(); ok {
		return t.Realm == realm && strings.HasPrefix(topic, prefix)
	}
	return t == Topic{Realm: realm, Topic: topic}
}

// topicSet is the memory of all topic lists. The router writes it; there are as many as topics, of
// which a directory has dozens.
type topicSet struct {
	mu   sync.RWMutex
	list map[string]topicList // by digest
}

// digests returns the lists of the messages that a subscription with that generation gets when it
// wants topics, sorted, each once. A topic in which nothing was published yet is among them when it
// is named exactly.
func (s *topicSet) digests(generation string, topics []Topic) (found []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found = append(found, digestOf(privateRealm, generation))
	for _, t := range topics {
		if _, ok := t.pattern(); !ok {
			found = append(found, digestOf(t.Realm, t.Topic))
			continue
		}
		for digest, l := range s.list {
			if t.Matches(l.Realm, l.Topic) {
				found = append(found, digest)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// get returns the list of a topic; its zero value when nothing was published in it.
func (s *topicSet) get(digest string) topicList {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.list[digest]
}

// put replaces lists and says whether one of them is new and may be what a pattern asks for. A list
// of one subscription is not: whoever waits for it waits under its digest.
func (s *topicSet) put(lists map[string]topicList) (fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = map[string]topicList{}
	}
	for digest, l := range lists {
		if _, known := s.list[digest]; !known && l.Realm != privateRealm {
			fresh = true
		}
		s.list[digest] = l
	}
	return fresh
}

package directory

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Stream is the name of the stream of published messages. The sequence of an entry is the message's
// number.
const Stream = "messages"

// MaxMessage is the largest body of a message in bytes: with its escapes it has to fit into one
// commit (store.MaxCommit).
const MaxMessage = 7 << 20

// Bytes of a body that one stream entry or one part carries. Escapes can double a part's text, and
// a document's body has at most store.MaxBody.
const (
	maxInline = 48 << 10
	partSize  = 500 << 10
	maxObject = 512 // what a longer name of an object would take from the entry
)

// Message is one directory event. Body is the JSON text of the object with the members old and new,
// byte for byte as it was published.
type Message struct {
	Publisher string
	Timestamp string // as it goes out: contract 1.4
	Realm     string
	Topic     string
	Object    string // what the message is about, for the order within one object; empty when it does not say
	Body      json.RawMessage
	To        string // generation of the one subscription it is for; empty for all that want its topic
	Unfit     string // why it cannot be delivered as it is, and becomes a dead letter; empty when it can
}

// Header is what an entry of the stream says of its message. The body stands behind it and a line
// feed, or, when it is large, in Parts documents of kind part.
type Header struct {
	At        time.Time `json:"at"`
	Large     string    `json:"large,omitempty"` // id of the family of parts
	Object    string    `json:"object,omitempty"`
	Parts     int       `json:"parts,omitempty"`
	Publisher string    `json:"publisher_name"`
	Realm     string    `json:"realm"`
	Timestamp string    `json:"ts"`
	To        string    `json:"to,omitempty"`
	Topic     string    `json:"topic"`
	Unfit     string    `json:"unfit,omitempty"`
}

// Part is a piece of a body that no stream entry can hold.
type Part struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// Parts is the table of parts.
var Parts = store.Table[Part]{Kind: "message_part", ID: func(p Part) string { return p.ID }}

// PartID returns the id of part i of a family.
func PartID(family string, i int) string { return fmt.Sprintf("%s/%04d", family, i) }

// ErrTooLarge is the refusal of a message with more than MaxMessage bytes.
var ErrTooLarge = fault.New(fault.TooLarge, "message.too_large",
	"the body of a message has at most %d bytes; publish less, for example without binary attributes", MaxMessage)

// Encode returns the entry of m and the parts that have to be stored beside it, in the same commit.
// The fault is ErrTooLarge.
func Encode(m Message, now time.Time) (entry []byte, beside []Part, err error) {
	if len(m.Body) > MaxMessage {
		return nil, nil, ErrTooLarge
	}
	if len(m.Object) > maxObject {
		m.Object = id.Digest(m.Object) // the same one for the same object, which is all that the order needs
	}
	h := Header{At: now.UTC(), Object: m.Object, Publisher: m.Publisher, Realm: m.Realm, Timestamp: m.Timestamp, To: m.To, Topic: m.Topic,
		Unfit: m.Unfit}
	inline := m.Body
	if len(inline) > maxInline {
		h.Large, inline = id.New(), nil
		for rest := string(m.Body); rest != ""; h.Parts++ {
			n := cutAtRune(rest, partSize)
			beside = append(beside, Part{ID: PartID(h.Large, h.Parts), Text: rest[:n]})
			rest = rest[n:]
		}
	}
	if entry, err = json.Marshal(h); err != nil {
		return nil, nil, err
	}
	return append(append(entry, '\n'), inline...), beside, nil
}

// cutAtRune returns the largest length up to n at which s can be cut without cutting a character.
func cutAtRune(s string, n int) int {
	if len(s) <= n {
		return len(s)
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return n
}

// DecodeHeader returns the header of an entry and the body that stands in it.
func DecodeHeader(entry []byte) (h Header, inline []byte, err error) {
	head, inline, found := bytes.Cut(entry, []byte{'\n'})
	if !found {
		return h, nil, fmt.Errorf("an entry of the stream %s has no header", Stream)
	}
	if err := json.Unmarshal(head, &h); err != nil {
		return h, nil, fmt.Errorf("the header of an entry of the stream %s: %w", Stream, err)
	}
	return h, inline, nil
}

// Load returns the message of an entry. It reads the parts of a large one.
func Load(ctx context.Context, db store.DB, entry []byte) (Message, error) {
	h, body, err := DecodeHeader(entry)
	if err != nil {
		return Message{}, err
	}
	if h.Large != "" {
		body = nil
		for i := range h.Parts {
			row, err := Parts.Get(ctx, db, PartID(h.Large, i))
			if err != nil {
				return Message{}, err
			}
			if row.Rev == 0 {
				return Message{}, fmt.Errorf("part %d of the message %s is missing", i, h.Large)
			}
			body = append(body, row.Value.Text...)
		}
	}
	return Message{Publisher: h.Publisher, Timestamp: h.Timestamp, Realm: h.Realm, Topic: h.Topic, Object: h.Object, Body: body,
		Unfit: h.Unfit}, nil
}

// Time returns a timestamp of a message that this service publishes.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000+00:00") }

// Body returns the body of a message about an object that was old and is fresh, each a JSON object,
// {} for none.
func Body(old, fresh json.RawMessage) json.RawMessage {
	return slices.Concat([]byte(`{"old":`), old, []byte(`,"new":`), fresh, []byte{'}'})
}

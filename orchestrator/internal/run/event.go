package run

import (
	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/shared/store"
)

// Event returns the append of one event to EventStream. The caller owns it.
func Event(e *event.Event) store.Append { return new(Encoder).Event(e) }

// Event returns the append of an event to EventStream. Its bytes are good until the encoder is
// reset.
func (o *Encoder) Event(e *event.Event) store.Append {
	e.Write(&o.Writer)
	return store.Append{Stream: EventStream, Body: o.Body().Bytes()}
}

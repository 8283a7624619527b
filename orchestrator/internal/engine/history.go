package engine

import (
	"time"

	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// Events is the class of the events that watchers read: retention trims their stream.
func Events(db store.DB, rule retention.Rule) retention.Class {
	return retention.Stream(db, EventStream, rule, timeOf)
}

// timeOf reads the time of an event.
func timeOf(event []byte) (time.Time, bool) {
	for name, value := range store.Members(event) {
		if name == "timestamp" {
			text, ok := store.Text(value)
			at, err := time.Parse(time.RFC3339Nano, text)
			return at, ok && err == nil
		}
	}
	return time.Time{}, false
}

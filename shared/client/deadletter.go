package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// EventDeadLetter is a message that a subscription could not handle.
type EventDeadLetter struct {
	Sequence uint64          `json:"sequence_number"`
	Topic    string          `json:"topic"`
	Reason   string          `json:"reason"`
	At       time.Time       `json:"at"`
	Message  json.RawMessage `json:"message,omitempty"`
}

// DeadLetters returns up to limit dead letters of a subscription with numbers above after.
func (d *Directory) DeadLetters(ctx context.Context, name string, after uint64, limit int) (all []EventDeadLetter, err error) {
	query := url.Values{"after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(limit)}}
	_, err = d.do(ctx, http.MethodGet, subscriptionPath(name, "dead-letters")+"?"+query.Encode(), nil, &all)
	return all, err
}

// DeadLetter returns a dead letter with its message.
func (d *Directory) DeadLetter(ctx context.Context, name string, sequence uint64) (l EventDeadLetter, err error) {
	_, err = d.do(ctx, http.MethodGet, subscriptionPath(name, "dead-letters", strconv.FormatUint(sequence, 10)), nil, &l)
	return l, err
}

// Requeue puts a dead letter at the end of its queue.
func (d *Directory) Requeue(ctx context.Context, name string, sequence uint64) error {
	_, err := d.do(ctx, http.MethodPost, subscriptionPath(name, "dead-letters", strconv.FormatUint(sequence, 10), "requeue"), nil, nil)
	return err
}

// DropDeadLetter removes a dead letter for good.
func (d *Directory) DropDeadLetter(ctx context.Context, name string, sequence uint64) error {
	_, err := d.do(ctx, http.MethodDelete, subscriptionPath(name, "dead-letters", strconv.FormatUint(sequence, 10)), nil, nil)
	return err
}

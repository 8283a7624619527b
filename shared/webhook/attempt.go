package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/shared/naming"
	"github.com/provisioning-platform/platform/shared/trace"
)

// maxError is how many bytes of an error are kept.
const maxError = 300

// gone is the answer of a receiver that wants nothing any more.
const gone = http.StatusGone

// outcome says what an attempt means for its delivery.
type outcome uint8

// The outcomes.
const (
	failed   outcome = iota // try again: no answer, 3xx, 408, 429, 5xx
	received                // 2xx
	refused                 // any other 4xx: another try would get the same answer
)

// attempted is an attempt with what follows from it.
type attempted struct {
	Attempt
	outcome outcome
	asked   time.Duration // Retry-After
}

// cause says in words why a delivery is given up with this attempt.
func (a *attempted) cause() string {
	if a.outcome == refused {
		return fmt.Sprintf("the receiver refused it with status %d", a.Status)
	}
	if a.Status != 0 {
		return fmt.Sprintf("the last attempt was answered with status %d", a.Status)
	}
	return a.Error
}

// judge returns the outcome of an answer's status.
func judge(status int) outcome {
	switch {
	case status >= 200 && status < 300:
		return received
	case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests:
		return failed
	case status >= 400 && status < 500:
		return refused
	}
	return failed
}

// attempt sends a delivery once.
func (w *Webhooks) attempt(ctx context.Context, e *Endpoint, secrets []string, d *Delivery) attempted {
	start := w.c.Now()
	a := attempted{Attempt: Attempt{At: start.UTC()}}
	own, parent := w.spanOf(ctx, d, start)
	answer, err := w.post(ctx, e, secrets, d, start, own)
	if err != nil {
		a.Error = describe(err)
	} else {
		a.Status, a.outcome, a.asked = answer.StatusCode, judge(answer.StatusCode), retryAfter(answer.Header, w.c.Now())
	}
	a.Took = w.c.Now().Sub(start).Milliseconds()
	w.record(own, parent, d, &a, start)
	return a
}

// post makes the request. The body of the answer is read up to its limit, so that the connection
// can be used again, and thrown away.
func (w *Webhooks) post(ctx context.Context, e *Endpoint, secrets []string, d *Delivery, now time.Time,
	span trace.SpanContext) (*http.Response, error) {
	body := SignBody(secrets[0], []byte(d.Payload))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", w.c.Agent)
	r.Header.Set(HeaderID, d.ID)
	r.Header.Set(HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	for _, s := range secrets {
		if old := r.Header.Get(HeaderSignature); old != "" {
			r.Header.Set(HeaderSignature, old+" "+Sign(s, d.ID, now, body))
		} else {
			r.Header.Set(HeaderSignature, Sign(s, d.ID, now, body))
		}
	}
	r.Header.Set(HeaderBody, Digest(secrets[0], body))
	r.Header.Set(HeaderEvent, d.Event)
	r.Header.Set(HeaderDelivery, d.ID)
	if !span.None() {
		r.Header.Set("Traceparent", span.String())
	}
	answer, err := w.client.Do(r)
	if err != nil {
		return nil, err
	}
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer) // the status has decided; what is wrong behind it costs only the connection
	_ = answer.Body.Close()
	return answer, nil
}

// describe returns the text of an error without the URL, whose query may hold a secret.
func describe(err error) string {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		if u.Timeout() {
			return "the receiver did not answer in time"
		}
		err = u.Err
	}
	return naming.Clip(err.Error(), maxError)
}

// dataOf returns the member "data" of a payload.
func dataOf(payload string) []byte {
	var p struct {
		Data json.RawMessage `json:"data"`
	}
	_ = json.Unmarshal([]byte(payload), &p) // made by Message.payload
	return p.Data
}

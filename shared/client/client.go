// Package client is the typed Go client of both services, used by both command lines and by the
// tests. It speaks the public API and nothing else; a method is one request, but for the lists
// whose pages may end early, which it follows. It repeats only what the service did not look at
// (429, up to Patience): a caller that wants to repeat a submission gives an idempotency key.
//
// The one rule: an error of a service comes back as a fault with the kind, code, fields and text
// that the service gave; a service that cannot be reached is a fault of kind Unavailable with code
// "client.unreachable".
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
)

// accept is the version of the API that this client speaks.
const accept = "application/vnd.provisioning.v1+json"

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

// Client talks to one service. Its fields are set once.
type Client struct {
	Base  string      // "http://127.0.0.1:9090"
	Token secret.Text // bearer token; empty for open routes
	// Fresh returns the token to use now, in place of Token, and when it ends; nil: Token stays.
	Fresh func(ctx context.Context) (raw secret.Text, ends time.Time, err error)
	Key   string       // Idempotency-Key of its next change, when the call gives none
	HTTP  *http.Client // nil: a client with a 60 s limit

	Roots *x509.CertPool // authorities that HTTP was connected with, for who opens a connection of its own

	Patience time.Duration       // how long a request may wait in all when the service says 429 with Retry-After
	Waiting  func(time.Duration) // called before each such wait; nil: nobody is told
	Replayed func()              // called when an answer is an earlier one, repeated for its idempotency key
}

// call is one request.
type call struct {
	method, path string
	query        url.Values
	body         any
	token        *secret.Text      // overrides the client's
	header       map[string]string // additional headers
}

// encoded is a body that is JSON already.
type encoded []byte

// envelope is the answer of every enveloped route (platform.md 1.1).
type envelope struct {
	Success   bool          `json:"success"`
	Data      any           `json:"data"` // a pointer to where it is wanted
	Error     string        `json:"error"`
	Code      string        `json:"code"`
	Fields    []fault.Field `json:"fields"`
	RequestID string        `json:"request_id"`
}

// do performs the call and decodes data into out (nil: ignored), and repeats it while the service
// asks to wait and Patience lasts. It returns the answer's headers.
func (c *Client) do(ctx context.Context, in call, out any) (http.Header, error) {
	for left := c.Patience; ; {
		header, err := c.once(ctx, in, out)
		f := fault.Of(err)
		if f == nil || f.Kind != fault.Throttled || f.RetryAfter <= 0 || f.RetryAfter > left {
			if header.Get("Idempotency-Replayed") == "true" && c.Replayed != nil {
				c.Replayed()
			}
			return header, err
		}
		left -= f.RetryAfter
		if c.Waiting != nil {
			c.Waiting(f.RetryAfter)
		}
		if !clock.Pause(ctx, f.RetryAfter, nil) {
			return header, ctx.Err()
		}
	}
}

// once performs the call one time.
func (c *Client) once(ctx context.Context, in call, out any) (http.Header, error) {
	var body io.Reader
	if in.body != nil {
		b, ready := in.body.(encoded)
		if !ready {
			var err error
			if b, err = json.Marshal(in.body); err != nil {
				return nil, fmt.Errorf("encode request: %w", err)
			}
		}
		body = bytes.NewReader(b)
	}
	target := strings.TrimRight(c.Base, "/") + in.path
	if len(in.query) > 0 {
		target += "?" + in.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, in.method, target, body)
	if err != nil || req.URL.Host == "" || (req.URL.Scheme != "http" && req.URL.Scheme != "https") {
		return nil, fault.New(fault.Malformed, "client.address", "%q is no address of a service; give one like http://127.0.0.1:9090",
			c.Base)
	}
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	token := c.Token
	switch {
	case in.token != nil:
		token = *in.token
	case c.Fresh != nil:
		if token, _, err = c.Fresh(ctx); err != nil {
			return nil, err
		}
	}
	if !token.Empty() {
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	if c.Key != "" && in.method != http.MethodGet {
		req.Header.Set("Idempotency-Key", c.Key)
	}
	for k, v := range in.header {
		req.Header.Set(k, v)
	}
	resp, err := c.http().Do(req)
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		return nil, unreachable(c.Base, err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "client.unreachable", "the connection to %s broke before the answer was complete",
			c.Base).Because(err)
	}
	e := envelope{Data: out}
	if out == nil {
		e.Data = new(json.RawMessage)
	}
	err = json.Unmarshal(raw, &e)
	var odd *json.UnmarshalTypeError
	switch {
	case errors.As(err, &odd) && e.Success && strings.HasPrefix(odd.Field, "data"):
		return resp.Header, fmt.Errorf("decode answer of %s %s: %w", in.method, in.path, err)
	case err != nil:
		return resp.Header, fault.New(kindOf(resp.StatusCode), "client.answer",
			"%s answered status %d without the platform's envelope; is it this platform?", c.Base, resp.StatusCode)
	}
	if !e.Success {
		if e.Code == "http.not_found" { // this client asks only for paths that exist
			e.Error += " (" + in.method + " " + in.path + "); is " + c.Base + " the address of the right service?"
		}
		return resp.Header, refusal(resp, e)
	}
	return resp.Header, nil
}

// unreachable returns the fault of a request that got no answer, with what to do about it.
func unreachable(base string, err error) error {
	next := "is the service running there?"
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		next = "is its authority a private one? give its certificate with --ca-file or PROVISIONING_CA_FILE"
	case errors.As(err, &record):
		next = "it speaks no TLS there; does the address begin with http:// ?"
	}
	return fault.New(fault.Unavailable, "client.unreachable", "cannot reach %s (%s); %s", base, reason(err), next).Because(err)
}

// reason returns why a request got no answer, without the URL that net/http puts before it.
func reason(err error) string {
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err.Error()
}

func (c *Client) http() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return &http.Client{Timeout: time.Minute}
}

// Connect returns an HTTP client whose requests take so long at most and that believes the given
// authorities; nil: those of this machine. Each call has connections of its own.
func Connect(roots *x509.CertPool, limit time.Duration) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	return &http.Client{Timeout: limit, Transport: t}
}

// refusal turns an error envelope into a fault.
func refusal(resp *http.Response, e envelope) error {
	code := e.Code
	if code == "" {
		code = "client.status_" + strconv.Itoa(resp.StatusCode)
	}
	text := e.Error
	if e.RequestID != "" && resp.StatusCode >= 500 {
		text += " (request " + e.RequestID + ")"
	}
	f := fault.New(kindOf(resp.StatusCode), code, "%s", text).With(e.Fields...)
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		f = f.After(time.Duration(s) * time.Second)
	}
	return f
}

// kinds is web's status table read backwards.
var kinds = map[int]fault.Kind{
	400: fault.Malformed, 401: fault.Unauthenticated, 403: fault.Denied, 404: fault.NotFound, 405: fault.MethodUnknown,
	406: fault.NotAcceptable, 409: fault.Conflict, 410: fault.Gone, 413: fault.TooLarge, 415: fault.MediaType,
	422: fault.Invalid, 429: fault.Throttled, 502: fault.Unavailable, 503: fault.Unavailable, 504: fault.Unavailable,
}

func kindOf(status int) fault.Kind { return kinds[status] }

// Health asks whether the service is ready; nil when it is.
func (c *Client) Health(ctx context.Context) error {
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/health", token: &secret.Text{}}, nil)
	return err
}

func post(path string, body any) call { return call{method: http.MethodPost, path: path, body: body} }

func get(path string) call { return call{method: http.MethodGet, path: path} }

package web

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web/body"
	"github.com/provisioning-platform/platform/shared/web/ratelimit"
)

// Face is a wire format: how an API reads who asks and what, and how it answers. The checks, limits
// and records of a route are the same in every face. What is nil or zero is as in the platform's
// own face, the one of routes without a face, but for Accept.
type Face struct {
	// Prefix begins the paths that are this face's: what no route serves there is refused in it.
	Prefix string

	// Credential reads from a request what says who asks; nil is Bearer. Without one it returns
	// ErrNoCredential.
	Credential func(*http.Request) (string, error)
	// Authenticate verifies a credential; nil is Config.Authenticate.
	Authenticate func(ctx context.Context, credential string, r *http.Request) (token.Claims, error)
	// Challenge is WWW-Authenticate of a 401; empty is "Bearer".
	Challenge string
	// Takes says whether a body may have this Content-Type; nil takes JSON only.
	Takes func(contentType string) bool
	// Body says what a body may hold beyond the strict rules.
	Body body.Lenience
	// Accept negotiates a version: from the lines of the Accept header it returns the content type
	// of answers whose encoder names none. nil takes every header and answers JSON.
	Accept func(lines []string) (contentType string, err error)

	// RequestID returns the id of a request whose X-Request-ID is given, empty when there is none;
	// nil repeats one of harmless characters and makes another one else.
	RequestID func(given string) string
	// Headers sets headers of every answer, over the security headers that are set already.
	Headers func(h http.Header, requestID string)
	// Limits shows the state of a rate limit; nil shows both families of headers.
	Limits func(http.Header, ratelimit.Status)
	// Status is the HTTP status of a refusal; nil is StatusOf its kind.
	Status func(*fault.Error) int
	// Data writes an answer and Error a refusal; both return its content type. nil is the envelope.
	Data  func(to *bytes.Buffer, data any) (contentType string, err error)
	Error func(to *bytes.Buffer, status int, f *fault.Error, requestID string) (contentType string)
}

// complete returns a face in which nothing that is called is nil, but Headers.
func (s *Server) complete(face *Face) Face {
	var f Face
	if face == nil {
		f.Accept = acceptVersion
	} else {
		f = *face
	}
	if f.Credential == nil {
		f.Credential = Bearer
	}
	if f.Authenticate == nil {
		f.Authenticate = s.cfg.Authenticate
	}
	if f.Challenge == "" {
		f.Challenge = "Bearer"
	}
	if f.Takes == nil {
		f.Takes = isJSON
	}
	if f.RequestID == nil {
		f.RequestID = requestID
	}
	if f.Accept == nil {
		f.Accept = func([]string) (string, error) { return typeJSON, nil }
	}
	if f.Limits == nil {
		f.Limits = func(h http.Header, v ratelimit.Status) { v.Show(h) }
	}
	if f.Status == nil {
		f.Status = func(f *fault.Error) int { return StatusOf(f.Kind) }
	}
	if f.Data == nil {
		f.Data = envelope
	}
	if f.Error == nil {
		f.Error = envelopeError
	}
	return f
}

// ErrNoCredential is the refusal of a request that says nothing about who asks.
var ErrNoCredential = fault.New(fault.Unauthenticated, "token.missing", "this needs a token: send Authorization: Bearer <token>")

// Bearer reads the token of the Authorization header: exactly one header, the scheme in any case,
// one token without blanks.
func Bearer(r *http.Request) (string, error) {
	raw, err := authorization(r, "Bearer")
	if err == nil && strings.ContainsAny(raw, " ,\t") {
		err = errScheme("Bearer")
	}
	return raw, err
}

// errNoPair is ErrNoCredential in the words of the scheme Basic.
var errNoPair = fault.New(fault.Unauthenticated, ErrNoCredential.Code,
	"this needs a user name and a password: send Authorization: Basic <base64 of name:password>, as curl -u does").Because(ErrNoCredential)

// Basic reads the pair of an Authorization header of the scheme Basic: "name:password".
func Basic(r *http.Request) (string, error) {
	_, err := authorization(r, "Basic")
	if errors.Is(err, ErrNoCredential) {
		return "", errNoPair
	}
	name, password, ok := r.BasicAuth()
	if err != nil || !ok {
		return "", fault.New(fault.Unauthenticated, "auth.bad_scheme",
			"the Authorization header must hold one user name and password: Basic <base64 of name:password>")
	}
	return name + ":" + password, nil
}

// HeaderToken reads the one value of a header, such as X-Auth-Token.
func HeaderToken(name string) func(*http.Request) (string, error) {
	return func(r *http.Request) (string, error) {
		switch lines := r.Header.Values(name); {
		case len(lines) == 0:
			return "", ErrNoCredential
		case len(lines) > 1 || lines[0] == "":
			return "", fault.New(fault.Unauthenticated, "auth.bad_scheme", "the %s header must hold one token", name)
		default:
			return lines[0], nil
		}
	}
}

// Cookie reads the value of a cookie. A face that uses it must keep other sites from sending
// changes along with it: SameSite=Strict at least.
func Cookie(name string) func(*http.Request) (string, error) {
	return func(r *http.Request) (string, error) {
		c, err := r.Cookie(name)
		if err != nil || c.Value == "" {
			return "", ErrNoCredential
		}
		return c.Value, nil
	}
}

// authorization returns what follows the scheme in the one Authorization header.
func authorization(r *http.Request, want string) (string, error) {
	lines := r.Header["Authorization"]
	if len(lines) == 0 {
		return "", ErrNoCredential
	}
	scheme, raw, _ := strings.Cut(lines[0], " ")
	raw = strings.TrimSpace(raw)
	if len(lines) > 1 || !strings.EqualFold(scheme, want) || raw == "" {
		return "", errScheme(want)
	}
	return raw, nil
}

func errScheme(want string) error {
	return fault.New(fault.Unauthenticated, "auth.bad_scheme", "the Authorization header must hold one token: %s <token>", want)
}

package provisioning

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/provisioning-platform/platform/control-center/internal/subscription"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/body"
	"github.com/provisioning-platform/platform/shared/web/ratelimit"
)

const typeJSON = "application/json"

// face returns the wire format for paths that let in who check knows.
func face(check func(ctx context.Context, name, password string, r *http.Request) (token.Claims, error)) *web.Face {
	return &web.Face{
		Prefix: "/", Credential: credential, Challenge: "Basic",
		Authenticate: func(ctx context.Context, pair string, r *http.Request) (token.Claims, error) {
			name, password, _ := strings.Cut(pair, ":")
			return check(ctx, name, password, r)
		},
		// The original takes a body without a type; a form is what curl -d sends (contract 1.1).
		Takes: func(contentType string) bool {
			return !strings.HasPrefix(contentType, "application/x-www-form-urlencoded")
		},
		Body:      body.Lenience{Null: true, Unknown: true},
		RequestID: requestID,
		Limits:    func(http.Header, ratelimit.Status) {},
		Status:    status,
		Data: func(to *bytes.Buffer, data any) (string, error) {
			return typeJSON, body.Encode(to, data)
		},
		Error: refusal,
	}
}

// errNoCredential is web.ErrNoCredential in the words of this API.
var errNoCredential = fault.New(fault.Unauthenticated, "provisioning.no_credential",
	"Unauthorized: this needs a user name and a password by HTTP Basic authentication").Because(web.ErrNoCredential)

// credential returns the pair of an Authorization header of the scheme Basic.
func credential(r *http.Request) (string, error) {
	pair, err := web.Basic(r)
	if errors.Is(err, web.ErrNoCredential) {
		err = errNoCredential
	}
	return pair, err
}

// requestID returns a version 4 UUID of the client as it is, and 32 hexadecimal digits else.
func requestID(given string) string {
	if id.Valid(given) && given[14] == '4' {
		return given
	}
	return strings.ReplaceAll(id.Random(), "-", "")
}

// status is the status of a refusal: bad input is 422 whatever is wrong with it, who may not is
// 401, and what is full is 507.
func status(f *fault.Error) int {
	if f.Code == subscription.ErrFull.Code {
		return http.StatusInsufficientStorage
	}
	switch f.Kind {
	case fault.Malformed, fault.Invalid, fault.MediaType:
		return http.StatusUnprocessableEntity
	case fault.Denied:
		return http.StatusUnauthorized
	}
	return web.StatusOf(f.Kind)
}

// validation is the body of a 422: that of the original, and a list of what is wrong beside it.
type validation struct {
	Status  int           `json:"status_code"`
	Message string        `json:"message"`
	Data    any           `json:"data"`
	Code    string        `json:"code"`
	Errors  []fault.Field `json:"errors"`
}

// refused is the body of every other refusal. Code and request id are ours.
type refused struct {
	Detail    string `json:"detail"`
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
}

func refusal(to *bytes.Buffer, status int, f *fault.Error, requestID string) string {
	var v any = &refused{Detail: f.Message, Code: f.Code, RequestID: requestID}
	if status == http.StatusUnprocessableEntity {
		message := f.Message
		for i, e := range f.Fields {
			if i == 0 {
				message += ": "
			} else {
				message += "; "
			}
			message += e.Pointer + " " + e.Message
		}
		fields := f.Fields
		if fields == nil {
			fields = []fault.Field{}
		}
		v = &validation{Status: status, Message: message, Code: f.Code, Errors: fields}
	}
	if err := body.Encode(to, v); err != nil { // cannot happen: texts only
		to.Reset()
		to.WriteString(`{"detail":"Internal Server Error"}`)
	}
	return typeJSON
}

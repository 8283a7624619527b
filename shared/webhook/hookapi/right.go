package hookapi

import (
	"context"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/webhook"
)

// tokenDoc is the rule of API tokens for the document.
const tokenDoc = "An API token may ask only for events that it may read, and the webhook is paused when that token is revoked or " +
	"expires; who updates the webhook takes it over."

// makerOf returns the caller as the maker of a webhook.
func makerOf(ctx context.Context) webhook.Maker {
	c := web.CallerOf(ctx)
	m := webhook.Maker{ID: c.ID()}
	if c.Claims.Kind == token.API {
		m.Token = c.Claims.ID
	}
	return m
}

// mayBeSent returns why an API token may not have these events sent, with the event's name; nil for
// a person, whose rights each delivery asks. A delivery does not know the scope of the token, so
// all that makes a webhook send asks here.
func (a *API) mayBeSent(ctx context.Context, events ...string) error {
	if web.CallerOf(ctx).Claims.Kind != token.API {
		return nil
	}
	for _, event := range events {
		for _, typ := range a.Hooks.Reads(event) {
			if err := web.Require(ctx, "read", authz.Resource{Type: typ}); err != nil {
				return fault.New(fault.Denied, "authz.denied", "the event %.60q tells of %s: %s", event, typ, fault.Of(err).Message)
			}
		}
	}
	return nil
}

// reads returns the function that refuses an endpoint whose events the caller may not have sent.
func (a *API) reads(ctx context.Context) func(webhook.Endpoint) error {
	return func(e webhook.Endpoint) error { return a.mayBeSent(ctx, e.Events...) }
}

package api

import (
	"net/http"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/watch"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/openapi"
)

// watched says which resource a category of events is about.
var watched = map[string]string{event.Task: "tasks", event.Progress: "tasks", event.Batch: "batches", event.Rollback: "rollbacks",
	event.System: "state"}

// Watched returns the type of the resources that a category of events is about: who may read them
// may read the events.
func Watched(category string) string { return watched[category] }

// MayWatch returns what says whether somebody may see the events of a category at the time now
// returns: who may read the resource that they are about.
func MayWatch(decide func(authz.Request) authz.Decision, now func() time.Time) func(c token.Claims, category string) bool {
	return func(c token.Claims, category string) bool {
		return decide(authz.Request{
			Subject: (&web.Caller{Claims: c}).Subject(), Action: "read",
			Resource: authz.Resource{Type: watched[category]}, Time: now(),
		}).Allowed
	}
}

// RefuseSocket writes a refusal before the upgrade. Events that are kept no longer have an answer
// of their own: extra says where to begin instead.
func RefuseSocket(w http.ResponseWriter, r *http.Request, err error, extra map[string]any) {
	if fault.Is(err, fault.Gone) {
		watch.Envelope(w, http.StatusGone, fault.Of(err).Message, extra)
		return
	}
	web.Refuse(w, r, err)
}

// socket describes the stream of /ws.
func socket() *openapi.StreamDoc {
	d := watch.Describe()
	return &openapi.StreamDoc{Status: http.StatusSwitchingProtocols,
		Doc:   "The connection is a WebSocket now. X-Events-Epoch and X-Events-Sequence say where it begins to read.",
		Query: d.Query, Sends: d.Sends, Hears: d.Hears, Closes: d.Closes,
		Refuses: []fault.Kind{fault.Unauthenticated, fault.Denied, fault.Gone}}
}

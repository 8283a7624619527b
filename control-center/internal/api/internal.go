package api

import (
	"context"
	"net/http"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/certificate"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
)

// internalRoutes returns the routes that the orchestrator calls (decision 4). They change nothing
// that has an actor, so they leave no audit entry; what the witness hears of the other log it
// records itself.
func (a *API) internalRoutes() []web.Route {
	only := web.Service(token.Orchestrator)
	routes := []web.Route{
		{Method: "GET", Path: "/internal/v1/revocations", Op: "followRevocations", Summary: "Long poll of the revocation stream",
			Permission: only, Limit: web.Free, Internal: true, Lasts: true, Handle: web.To(a.revocations)},
		{Method: "GET", Path: "/internal/v1/policies", Op: "followPolicies", Summary: "Long poll of the policies", Permission: only,
			Limit: web.Free, Internal: true, Lasts: true, Handle: web.To(a.policies)},
		{Method: "GET", Path: "/internal/v1/subjects", Op: "followSubjects", Summary: "Long poll of what accounts may be taken for",
			Permission: only, Limit: web.Free, Internal: true, Lasts: true, Handle: web.To(a.subjects)},
		{Method: "GET", Path: "/internal/v1/tokens", Op: "followTokens", Summary: "Long poll of what API tokens stand for",
			Permission: only, Limit: web.Free, Internal: true, Lasts: true, Handle: web.To(a.followTokens)},
		{Method: "POST", Path: "/internal/v1/tokens/used", Op: "reportTokens", Summary: "Last uses of API tokens at the orchestrator",
			Permission: only, Limit: web.Free, Internal: true, Reads: true, Handle: web.Do("noted", a.tokensUsed)},
		{Method: "POST", Path: "/internal/v1/audit/heads", Op: "exchangeHeads", Summary: "Exchange of tree heads and cosignatures",
			Permission: only, Limit: web.Free, Internal: true, Reads: true, Handle: web.To(a.heads)},
		{Method: "POST", Path: "/internal/v1/audit/entries", Op: "copyEntries", Summary: "Copy of audit entries into the index",
			Permission: only, Limit: web.Free, Internal: true, Reads: true, MaxBody: 16 << 20, Handle: web.To(a.entries)},
	}
	if a.Certificates != nil {
		routes = append(routes, web.Route{Method: "POST", Path: "/internal/v1/certificate", Op: renewCertificate,
			Summary: "Certificate of the orchestrator for another 30 days", Permission: only, Limit: web.Free, Internal: true,
			Audit: "certificate.issue", Handle: web.To(a.certify)})
	}
	return routes
}

// renewCertificate is the operation that a certificate which ran out is still good for.
const renewCertificate = "renewCertificate"

// AdmitPeer returns what refuses a request on the service-to-service port.
func AdmitPeer(c *certificate.Authority) func(web.Route, *http.Request) error {
	return func(r web.Route, req *http.Request) error { return c.Admit(r.Op == renewCertificate, req) }
}

type certifyIn struct {
	Request string `json:"request" required:"true" max:"8192" doc:"certificate signing request, PEM"`
}

func (a *API) certify(ctx context.Context, in certifyIn) (certificate.Issued, error) {
	return a.Certificates.Renew(ctx, in.Request)
}

type followIn struct {
	After uint64 `query:"after" doc:"the last sequence, or the version, that is known"`
	Epoch string `query:"epoch" doc:"identity of the stream that after speaks of"`
	Wait  int    `query:"wait" default:"1000" min:"0" doc:"milliseconds to wait for news"`
}

func (in followIn) wait() time.Duration {
	return time.Duration(min(in.Wait, 60_000)) * time.Millisecond
}

// revocations, policies, subjects and followTokens return what the orchestrator decides with, as
// the published keys do. While the audit log is not in order they are refused, because this may be
// an old folder that was put back.
func (a *API) revocations(ctx context.Context, in followIn) (token.Feed, error) {
	if err := a.Log.Sound(); err != nil {
		return token.Feed{}, err
	}
	return a.Revoked.Feed(ctx, in.Epoch, in.After, in.wait())
}

func (a *API) policies(ctx context.Context, in followIn) (authz.Feed, error) {
	if err := a.Log.Sound(); err != nil {
		return authz.Feed{}, err
	}
	return a.Policies.Feed(ctx, in.After, in.wait()), nil
}

func (a *API) subjects(ctx context.Context, in followIn) (token.Subjects, error) {
	if err := a.Log.Sound(); err != nil {
		return token.Subjects{}, err
	}
	return a.Users.Follow(ctx, in.After, in.wait())
}

func (a *API) followTokens(ctx context.Context, in followIn) (token.APITokenStates, error) {
	if err := a.Log.Sound(); err != nil {
		return token.APITokenStates{}, err
	}
	return a.Tokens.Follow(ctx, in.After, in.wait())
}

type tokensUsedIn struct {
	Items []token.APIUse `json:"items" required:"true" max:"1000"`
}

func (a *API) tokensUsed(_ context.Context, in tokensUsedIn) error {
	a.Tokens.Use(in.Items...)
	return nil
}

func (a *API) heads(ctx context.Context, in audit.Statement) (audit.Statement, error) {
	return a.Peer.Exchange(ctx, in)
}

type entriesIn struct {
	First   uint64   `json:"first" doc:"leaf index of the first entry"`
	Entries []string `json:"entries" required:"true" max:"1000"`
}

// storedView says how many entries were taken in.
type storedView struct {
	Stored int `json:"stored"`
}

func (a *API) entries(ctx context.Context, in entriesIn) (storedView, error) {
	bodies := make([][]byte, len(in.Entries))
	for i, e := range in.Entries {
		bodies[i] = []byte(e)
	}
	return storedView{Stored: len(bodies)}, a.Index.Add(ctx, token.Orchestrator, in.First, bodies)
}

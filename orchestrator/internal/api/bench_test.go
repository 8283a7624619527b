package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
	"github.com/provisioning-platform/platform/shared/web/ratelimit"
	"github.com/provisioning-platform/platform/shared/webhook"
	"github.com/provisioning-platform/platform/shared/webhook/hookapi"
)

// named is a catalogue of one provider.
type named struct{}

func (named) ProviderNames() []string      { return []string{"noop"} }
func (named) Taskservs() ([]string, error) { return nil, nil }

func (named) ForeseeUndo(dag.Step, map[string]string, bool) (bool, string) { return false, "" }

func (named) Servers(context.Context, string) ([]dag.Resource, error) { return nil, nil }
func (named) Reach(dag.Resource) map[string]string                    { return nil }

// answer is a http.ResponseWriter that keeps the status.
type answer struct {
	header http.Header
	status int
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkExecuteBatch sends a batch through the whole service without its sockets and its engine:
// routing, token, decisions, decoding, validation, answer; log off. What Submit costs is the
// engine's.
func BenchmarkExecuteBatch(b *testing.B) {
	b.Run("operations=10", func(b *testing.B) { execute(b, tenOperations(b), 10) })
	b.Run("operations=1000", func(b *testing.B) { execute(b, manyOperations(1000), 1000) })
}

// execute sends a body again and again, which has so many operations.
func execute(b *testing.B, body []byte, operations int) {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	var keys token.KeySet
	if err := keys.Replace([]token.Key{token.NewKey(public, token.Current)}); err != nil {
		b.Fatal(err)
	}
	now := time.Now().Unix()
	raw, err := token.Sign(token.Claims{Issuer: "i", Subject: "5d7f4a2e-0a3e-7f4a-8a2e-5d7f4a2e0a3e",
		Audience: []string{token.Orchestrator}, ID: "j", SessionID: "s",
		IssuedAt: now, NotBefore: now, Expires: now + 3600, AuthTime: now, ACR: "aal1", AMR: []string{"pwd"}, Roles: []string{"admin"},
		Username: "admin", AuthVersion: 1}, key, token.Access)
	if err != nil {
		b.Fatal(err)
	}
	var revoked token.Revocations
	verifier := token.Verifier{Issuer: "i", Audience: token.Orchestrator, Keys: &keys, Revoked: revoked.Check}
	src, err := authz.Defaults()
	if err != nil {
		b.Fatal(err)
	}
	set, err := authz.Compile(src)
	if err != nil {
		b.Fatal(err)
	}
	var authority authz.Authority
	authority.Swap(set)
	a := &API{Catalogue: named{}, Storage: "filesystem", Metrics: http.NotFoundHandler(), Socket: http.NotFoundHandler(),
		Webhooks: &hookapi.API{Hooks: webhook.New(webhook.Config{Noun: "webhooks"})}}
	routes := a.Routes()
	for i := range routes {
		if routes[i].Op == "executeBatch" {
			routes[i].Handle = a.judge(accepted(operations))
		}
	}
	limits := ratelimit.Default()
	limits.Batch = 1 << 40
	server, err := web.NewServer(web.Config{Service: token.Orchestrator, Routes: routes, Log: obs.Discard(), Metrics: obs.NewRegistry(),
		RateLimits: limits,
		Store:      memstore.New(store.Schema{Service: token.Orchestrator, Kinds: idempotency.Kinds()}), Key: []byte("bench"),
		Decide: authority.Decide,
		Authenticate: func(_ context.Context, raw string, _ *http.Request) (token.Claims, error) {
			return verifier.Verify(raw, time.Now())
		},
		Admit: func(web.Route) error { return nil }, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})
	if err != nil {
		b.Fatal(err)
	}
	r, err := http.NewRequest("POST", "/batch/execute", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.RemoteAddr, r.ContentLength = "127.0.0.1:4711", int64(len(body))
	r.Header = http.Header{"Authorization": {"Bearer " + raw}, "Content-Type": {"application/json"}, "Accept": {"application/json"},
		"User-Agent": {"bench"}}
	from := bytes.NewReader(body)
	r.Body = io.NopCloser(from)
	w := &answer{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		from.Reset(body)
		clear(w.header)
		if server.ServeHTTP(w, r); w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}

// accepted is what an engine says that took a batch of so many operations.
func accepted(operations int) engine.Submitted {
	s := engine.Submitted{Run: dag.Header{ID: id.New()}, Tasks: make([]engine.Accepted, operations)}
	for i := range s.Tasks {
		s.Tasks[i].ID, s.Tasks[i].Operation = id.New(), fmt.Sprintf("op-%04d", i)
	}
	return s
}

// judge is executeBatch with an engine that only validates, and accepts always the same.
func (a *API) judge(accepted engine.Submitted) web.Handler {
	return web.To(func(_ context.Context, in batchIn) (batchView, error) {
		if err := a.known(in); err != nil {
			return batchView{}, err
		}
		if faults := dag.Validate(in.definition(), dag.Limits{}); len(faults) > 0 {
			return batchView{}, engine.Invalid(dag.Batch, faults)
		}
		return a.accepted(accepted), nil
	})
}

// tenOperations is a batch as a client of the API spells it.
func tenOperations(b *testing.B) []byte {
	var ops []operationIn
	for i, deps := range [][]string{{}, {"op-0000"}, {"op-0000"}, {"op-0000"}, {"op-0001", "op-0002"}, {"op-0002", "op-0003"}, {"op-0004"},
		{"op-0004", "op-0005"}, {"op-0005"}, {"op-0006", "op-0007", "op-0008"}} {
		ops = append(ops, operationIn{ID: fmt.Sprintf("op-%04d", i), Type: "server_batch", Provider: "noop", Dependencies: deps,
			ServerConfigs: []serverIn{{fmt.Sprintf("many-1-217-%d", i), "1xCPU-2GB", "de-fra1"}}, Taskservs: []string{},
			Targets: []string{}, OnFailure: "fail", Retry: &retryIn{}})
	}
	body, err := json.Marshal(batchIn{Name: "bench-217", Version: "1.0.0", StorageBackend: "filesystem", ParallelLimit: 1000,
		Operations: ops})
	if err != nil {
		b.Fatal(err)
	}
	return body
}

// manyOperations is a batch of operations that say only what they must, each of which depends on up
// to three before it.
func manyOperations(n int) []byte {
	body := []byte(`{"name":"bench-217","parallel_limit":1000,"operations":[`)
	for i := range n {
		deps := []string{}
		for d := max(0, i-3); d < i; d++ {
			deps = append(deps, fmt.Sprintf(`"op-%04d"`, d))
		}
		body = fmt.Appendf(body, `{"id":"op-%04d","type":"server_batch","provider":"noop","dependencies":[%s],"server_configs":[{"name":"many-1-217-%d","plan":"1xCPU-2GB","zone":"de-fra1"}]},`,
			i, strings.Join(deps, ","), i)
	}
	return append(body[:len(body)-1], "]}"...)
}

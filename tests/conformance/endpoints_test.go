package conformance

import "net/http"

// endpoint is one route of the contract (platform.md 1.2 to 1.8, as far as this release has them)
// with a request that is well-formed; {id} in the path stands for an id that does not exist.
type endpoint struct {
	service string // "orch" or "cc"
	method  string
	path    string
	body    any
	open    bool
	refused string // a role that may not use it; empty when every role may
}

const nowhere = "00000000-0000-7000-8000-000000000000"

// endpoints returns the table that the behaviours of section 3.1 run over.
func endpoints() []endpoint {
	return []endpoint{
		{service: "orch", method: http.MethodGet, path: "/health", open: true},
		{service: "orch", method: http.MethodGet, path: "/ready", open: true},
		{service: "orch", method: http.MethodGet, path: "/tasks"},
		{service: "orch", method: http.MethodGet, path: "/tasks/" + nowhere},
		{service: "orch", method: http.MethodPost, path: "/workflows/servers/create", body: servers("nowhere"), refused: "viewer"},
		{service: "orch", method: http.MethodPost, path: "/workflows/taskserv/create",
			body: map[string]any{"taskserv": "kubernetes", "infra": "nowhere"}, refused: "viewer"},
		{service: "orch", method: http.MethodPost, path: "/workflows/cluster/create",
			body: map[string]any{"cluster_type": "buildkit", "infra": "nowhere"}, refused: "viewer"},
		{service: "orch", method: http.MethodPost, path: "/batch/execute", body: map[string]any{"name": "b", "operations": []any{}},
			refused: "viewer"},
		{service: "orch", method: http.MethodGet, path: "/batch/operations"},
		{service: "orch", method: http.MethodGet, path: "/batch/operations/" + nowhere},
		{service: "orch", method: http.MethodPost, path: "/batch/operations/" + nowhere + "/cancel", refused: "viewer"},
		{service: "orch", method: http.MethodGet, path: "/state/workflows/" + nowhere + "/progress"},
		{service: "orch", method: http.MethodGet, path: "/state/workflows/" + nowhere + "/snapshots"},
		{service: "orch", method: http.MethodGet, path: "/state/system/metrics"},
		{service: "orch", method: http.MethodGet, path: "/state/system/health"},
		{service: "orch", method: http.MethodGet, path: "/state/statistics"},
		{service: "orch", method: http.MethodGet, path: "/inventory/servers"},
		{service: "orch", method: http.MethodGet, path: "/inventory/servers/nowhere"},
		{service: "orch", method: http.MethodGet, path: "/rollback/checkpoints"},
		{service: "orch", method: http.MethodPost, path: "/rollback/checkpoints", body: map[string]any{"name": "c"}, refused: "viewer"},
		{service: "orch", method: http.MethodGet, path: "/rollback/checkpoints/" + nowhere},
		{service: "orch", method: http.MethodPost, path: "/rollback/restore/" + nowhere, refused: "operator"},
		{service: "orch", method: http.MethodGet, path: "/rollback/statistics"},
		{service: "orch", method: http.MethodPost, path: "/rollback/execute", body: map[string]any{"checkpoint_id": nowhere},
			refused: "viewer"},
		{service: "orch", method: http.MethodGet, path: "/metrics"},
		{service: "cc", method: http.MethodGet, path: "/health", open: true},
		{service: "cc", method: http.MethodGet, path: "/ready", open: true},
		{service: "cc", method: http.MethodPost, path: "/auth/login",
			body: map[string]any{"username": "nobody", "password": "nothing at all here"}, open: true},
		{service: "cc", method: http.MethodPost, path: "/auth/refresh", body: map[string]any{"token": "rt_nothing"}, open: true},
		{service: "cc", method: http.MethodPost, path: "/auth/logout"},
		{service: "cc", method: http.MethodGet, path: "/users", refused: "viewer"},
		{service: "cc", method: http.MethodPost, path: "/users", body: map[string]any{"username": "x"}, refused: "operator"},
		{service: "cc", method: http.MethodPut, path: "/users/" + nowhere, body: map[string]any{"enabled": true}, refused: "operator"},
		{service: "cc", method: http.MethodDelete, path: "/users/" + nowhere, refused: "operator"},
		{service: "cc", method: http.MethodGet, path: "/audit/logs", refused: "operator"},
	}
}

// servers is the documented body of a servers workflow.
func servers(infra string) map[string]any {
	return map[string]any{"infra": infra, "settings": "config.k", "check_mode": false, "wait": true}
}

// address returns the base URL of the endpoint's service.
func (e *env) address(p endpoint) string {
	if p.service == "cc" {
		return e.ControlCenter.Address
	}
	return e.Orchestrator.Address
}

// call sends the endpoint's request as a role.
func (e *env) call(p endpoint, role string) answer {
	e.t.Helper()
	return e.do(request{base: e.address(p), method: p.method, path: p.path, body: p.body, role: role})
}

// callWith sends the endpoint's request with a raw Authorization header; "" sends none.
func (e *env) callWith(p endpoint, authorization string) answer {
	e.t.Helper()
	r := request{base: e.address(p), method: p.method, path: p.path, body: p.body}
	if authorization != "" {
		r.header = "Authorization: " + authorization
	}
	return e.do(r)
}

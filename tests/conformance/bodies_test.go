package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
)

// bodies returns the endpoints that take a body, each with all members that the contract documents
// (platform.md 1.4 to 1.8); account is the id of the user that is changed.
func (e *env) bodies(account string) []endpoint {
	e.t.Helper()
	raw, err := os.ReadFile(reference)
	if err != nil {
		e.t.Fatal(err)
	}
	task := `"operation":"create","infra":"production","settings":"config.k","check_mode":false,"wait":true`
	var list []endpoint
	for _, b := range []struct{ service, method, path, body string }{
		{"orch", "POST", "/workflows/servers/create", `{"infra":"production","settings":"config.k","check_mode":false,"wait":true}`},
		{"orch", "POST", "/workflows/taskserv/create", `{"taskserv":"kubernetes",` + task + `}`},
		{"orch", "POST", "/workflows/cluster/create", `{"cluster_type":"buildkit",` + task + `}`},
		{"orch", "POST", "/batch/execute", string(raw)},
		{"orch", "POST", "/rollback/checkpoints", `{"name":"n","description":"d"}`},
		{"orch", "POST", "/rollback/execute", `{"checkpoint_id":"` + nowhere + `"}`},
		{"orch", "POST", "/rollback/execute", `{"operation_ids":["a"]}`},
		{"cc", "POST", "/auth/login", `{"username":"nobody","password":"nothing at all here","mfa_code":"123456"}`},
		{"cc", "POST", "/auth/refresh", `{"token":"rt_nothing"}`},
		{"cc", "POST", "/users", `{"username":"n","email":"n@example.com","password":"` + password + `","roles":["viewer"],"enabled":true}`},
		{"cc", "PUT", "/users/" + account, `{"email":"n@example.com","roles":["viewer"],"enabled":true}`},
	} {
		p := endpoint{service: b.service, method: b.method, path: b.path}
		if err := json.Unmarshal([]byte(b.body), &p.body); err != nil {
			e.t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// documented returns the documented bodies of the three workflows, by kind.
func documented(infra string) map[string]map[string]any {
	bodies := map[string]map[string]any{"servers": {}, "taskserv": {"operation": "create", "taskserv": "kubernetes"},
		"cluster": {"operation": "create", "cluster_type": "buildkit"}}
	for _, b := range bodies {
		maps.Copy(b, servers(infra))
	}
	return bodies
}

// small is documented for an infra of infra, which has fewer parts.
func small(infra string) map[string]map[string]any {
	bodies := documented(infra)
	bodies["taskserv"]["taskserv"], bodies["cluster"]["cluster_type"] = "containerd", "small"
	return bodies
}

// mistype puts values of all other JSON types in the place of each value inside a decoded body, one
// at a time, and calls try while one is there.
func mistype(at string, value any, put func(any), try func(pointer string, wrong any)) {
	if at != "" {
		for _, wrong := range []any{"text", 7.0, true, nil, []any{}, map[string]any{}} {
			if reflect.TypeOf(wrong) != reflect.TypeOf(value) {
				put(wrong)
				try(at, wrong)
			}
		}
		put(value)
	}
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			mistype(at+"/"+name, member, func(w any) { v[name] = w }, try)
		}
	case []any:
		for i, element := range v {
			mistype(fmt.Sprintf("%s/%d", at, i), element, func(w any) { v[i] = w }, try)
		}
	}
}

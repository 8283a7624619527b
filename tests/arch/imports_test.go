package arch

import (
	"path"
	"sort"
	"strings"
	"testing"
)

// ring is a layer of the house, from the inside (0) to the outside. A package imports only packages
// of its own ring or of rings further in.
type ring int

const (
	leaf ring = iota
	pureRing
	port
	driver
	service
	edge
	wiring
	command
)

// rings gives every package its ring. The longest matching prefix counts; a package that no line
// matches fails the test, so a new package states where it belongs and why.
var rings = []struct {
	prefix string
	ring   ring
	reason string
}{
	{"shared/canonical", leaf, "bodies, audit entries and events have one form, whoever writes or reads them"},
	{"shared/clock", leaf, "whoever waits has to end with its context"},
	{"shared/file", leaf, "keys, heads and sign-ins are replaced whole"},
	{"shared/fault", leaf, "errors are everywhere"},
	{"shared/id", leaf, "ids are everywhere"},
	{"shared/instant", leaf, "times are everywhere"},
	{"shared/naming", leaf, "names are judged wherever they come in"},
	{"shared/seal", leaf, "services of both programs store secrets"},
	{"shared/secret", leaf, "configuration and services carry secrets"},
	{"policies", leaf, "embedded files, no code"},
	{"orchestrator/internal/event", pureRing, "what an event is, and its bytes"},
	{"orchestrator/internal/dag", pureRing, "the machine of a run: no store, clock or logger"},
	{"control-center/internal/login", pureRing, "the machine of a login"},
	{"shared/store", port, "the storage port, its judge and its helpers"},
	{"shared/obs", port, "logging and metrics for every service"},
	{"shared/trace", port, "spans for every service, and where they stand"},
	{"shared/config", port, "reads files and environment, knows no service"},
	{"shared/transport", port, "certificates of listeners and clients; knows no service"},
	{"shared/instance", leaf, "drivers and services lie in one data folder"},
	{"shared/store/memstore", driver, "a store engine"},
	{"shared/store/pebblestore", driver, "a store engine"},
	{"shared/store/pebblestore/known", driver, "what its committer knows without a question to the engine"},
	{"shared/store/surrealstore", driver, "a store engine"},
	{"shared/store/storetest", driver, "holds drivers to the contract"},
	{"shared/store/driver", driver, "opens an engine by URL"},
	{"orchestrator/internal/provider", driver, "engines of infrastructure"},
	{"shared/feed", service, "followers and hubs over a store"},
	{"shared/audit", service, "the log over a store"},
	{"shared/retention", service, "prunes history of a store"},
	{"shared/token", service, "verification of tokens"},
	{"shared/authz", service, "decisions"},
	{"shared/client", service, "the typed client"},
	{"shared/webhook", service, "sends a stream of the store to receivers"},
	{"shared/webhook/hookapi", edge, "routes and views of webhooks, the same for both services"},
	{"orchestrator/internal/run", service, "the documents of runs over the port"},
	{"orchestrator/internal/rollback", service, "what a rollback undoes and in which order"},
	{"orchestrator/internal/history", service, "what of ended runs is pruned"},
	{"orchestrator/internal/state", service, "what runs are and were, and how many; reads only"},
	{"orchestrator/internal/engine", service, "owns runs"},
	{"orchestrator/internal/recipe", service, "task service catalogue"},
	{"orchestrator/internal/infra", service, "infra definitions"},
	{"orchestrator/internal/operation", service, "turns operations into steps and performs them"},
	{"orchestrator/internal/rights", service, "what an operation asks of the policies, and its submitter's rights of now"},
	{"orchestrator/internal/hook", service, "what events mean to receivers of webhooks, and who may read them"},
	{"orchestrator/internal/pulse", service, "tells that the health of the service has changed"},
	{"orchestrator/internal/trust", service, "what the orchestrator knows of the control-center"},
	{"control-center/internal", service, "the control-center's nouns"},
	{"shared/web/body", port, "JSON bodies, their rules and their memory; knows no request"},
	{"shared/web/idempotency", service, "Idempotency-Keys over a store; knows no HTTP"},
	{"shared/web/openapi", service, "the document of a table of operations; knows no server"},
	{"shared/web/ratelimit", port, "windows of requests and their headers; knows no route"},
	{"shared/web", edge, "HTTP"},
	{"shared/watch", edge, "WebSocket"},
	{"shared/health", edge, "routes that say how a service is"},
	{"shared/cli", edge, "command lines"},
	{"orchestrator/internal/api", edge, "routes and views"},
	{"orchestrator/internal/cli", edge, "command line"},
	{"control-center/internal/api", edge, "routes and views"},
	{"control-center/internal/provisioning", edge, "the wire format of the Provisioning API"},
	{"control-center/internal/cli", edge, "command line"},
	{"shared/process", wiring, "one literal starts a service: store, audit log, server, components"},
	{"orchestrator/internal/app", wiring, "literals"},
	{"control-center/internal/app", wiring, "literals"},
	{"orchestrator/cmd", command, "main"},
	{"control-center/cmd", command, "main"},
	{"tests", command, "sees everything, is imported by nothing"},
}

func ringOf(pkg string) (ring, bool) {
	best, found := "", ring(0)
	for _, r := range rings {
		if (pkg == r.prefix || strings.HasPrefix(pkg, r.prefix+"/")) && len(r.prefix) > len(best) {
			best, found = r.prefix, r.ring
		}
	}
	return found, best != ""
}

// TestImports_goInwards holds the rings of architecture section 4 and decision 29.
func TestImports_goInwards(t *testing.T) {
	for _, p := range load(t) {
		mine, ok := ringOf(p.Path)
		if !ok {
			t.Errorf("%s has no ring: add a line with its reason to the table", p.Path)
			continue
		}
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			for _, imp := range f.Imports() {
				other, inside := strings.CutPrefix(imp, prefix)
				if !inside {
					continue
				}
				theirs, _ := ringOf(other)
				if theirs > mine {
					t.Errorf("%s imports %s, which is further out", f.Path, other)
				}
				if strings.HasPrefix(p.Path, "shared/") && !strings.HasPrefix(other, "shared/") && other != "policies" {
					t.Errorf("%s imports %s: shared never requires a product", f.Path, other)
				}
			}
		}
	}
}

// TestThirdParty_entersThroughOnePackage holds law 6 and decision 28: one package per import path
// in product code; test files and the module tests are exempt.
func TestThirdParty_entersThroughOnePackage(t *testing.T) {
	users := map[string]map[string]bool{}
	for _, p := range load(t) {
		if strings.HasPrefix(p.Path, "tests") || strings.HasSuffix(path.Base(p.Path), "test") {
			continue
		}
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			for _, imp := range f.Imports() {
				if !strings.Contains(strings.Split(imp, "/")[0], ".") || strings.HasPrefix(imp, prefix) {
					continue
				}
				if users[imp] == nil {
					users[imp] = map[string]bool{}
				}
				users[imp][p.Path] = true
			}
		}
	}
	owners := map[string]string{
		"github.com/gin-gonic/gin":           "shared/web",
		"github.com/casbin/casbin/v2":        "shared/authz",
		"github.com/gorilla/websocket":       "shared/watch",
		"github.com/pquerna/otp":             "control-center/internal/mfa",
		"github.com/surrealdb/surrealdb.go":  "shared/store/surrealstore",
		"github.com/cockroachdb/pebble/v2":   "shared/store/pebblestore",
		"github.com/go-json-experiment/json": "shared/web/body",
		"golang.org/x/mod/sumdb/tlog":        "shared/audit",
	}
	for imp := range owners {
		if users[imp] == nil {
			t.Errorf("%s has an owner and nobody imports it: take it out of the table", imp)
		}
	}
	for imp, by := range users {
		var list []string
		for pkg := range by {
			list = append(list, pkg)
		}
		sort.Strings(list)
		if len(list) > 1 {
			t.Errorf("%s is imported by %s: it enters through one package", imp, strings.Join(list, ", "))
		}
		if want := owners[imp]; want != "" && list[0] != want {
			t.Errorf("%s is imported by %s, its place is %s", imp, list[0], want)
		}
	}
}

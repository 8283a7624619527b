package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// ask returns status and body of a GET.
func ask(t *testing.T, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// queries returns the PromQL of the alert rules and of the dashboard.
func queries(t *testing.T) (all []string) {
	t.Helper()
	read := func(name string, decode func([]byte, any) error, into any) {
		raw, err := os.ReadFile(absolute(t, "deploy", "monitoring", name))
		if err == nil {
			err = decode(raw, into)
		}
		if err != nil {
			t.Fatal(name, err)
		}
	}
	var alerts struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	read("alerts.yml", func(raw []byte, into any) error {
		doc := map[string]any{}
		if err := config.DecodeYAML(raw, &doc); err != nil {
			return err
		}
		text, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, into)
	}, &alerts)
	for _, g := range alerts.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["action"] == "" {
				t.Errorf("rule %q says too little: severity, summary and action", r.Alert)
			}
			all = append(all, r.Expr)
		}
	}
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	read("dashboard.json", json.Unmarshal, &dashboard)
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	if len(alerts.Groups) == 0 || len(all) < 15 {
		t.Fatalf("only %d queries", len(all))
	}
	return all
}

var (
	matcher = regexp.MustCompile(`([A-Za-z_:][\w:]*)?\{([^}]*)\}`)
	labelIn = regexp.MustCompile(`([A-Za-z_]\w*)\s*(?:=~|!~|!=|=)`)
	groups  = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\([^)]*\)`)
	ranges  = regexp.MustCompile(`\[[^\]]*\]`)
	word    = regexp.MustCompile(`[A-Za-z_:][\w:]*\s*\(?`)
	figure  = regexp.MustCompile(`(?m)^([A-Za-z_:][\w:]*)(\{[^}]*\})? `)
)

// TestMonitoring_everyQueryNamesMetricsThatExist holds alert rules and dashboard to what fresh
// services show.
func TestMonitoring_everyQueryNamesMetricsThatExist(t *testing.T) {
	t.Parallel()
	r := rigtest.Start(t, rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir(), TLS: true})
	exists := map[string]string{"up": `{job="",instance=""}`} // by name: the labels of all samples
	for _, base := range []string{r.Orchestrator.Address, r.ControlCenter.Address} {
		ask(t, base+"/health", "") // one request, so that there are figures of requests
		status, body := ask(t, base+"/metrics", r.Token.Reveal())
		if status != 200 {
			t.Fatal(status, body)
		}
		for _, m := range figure.FindAllStringSubmatch(body, -1) {
			exists[m[1]] += m[2] + `{job="",instance=""}`
		}
	}
	for _, q := range queries(t) {
		for _, m := range matcher.FindAllStringSubmatch(q, -1) {
			for _, l := range labelIn.FindAllStringSubmatch(m[2], -1) {
				if !strings.Contains(exists[m[1]], l[1]+"=") {
					t.Errorf("%s: %s has no label %s", q, m[1], l[1])
				}
			}
		}
		plain := ranges.ReplaceAllString(groups.ReplaceAllString(matcher.ReplaceAllString(q, "$1 "), " "), " ")
		found := 0
		for _, w := range word.FindAllString(plain, -1) {
			switch name := strings.TrimSpace(w); {
			case strings.HasSuffix(name, "("), name == "or", name == "and", name == "unless", name == "e":
			case exists[name] == "":
				t.Errorf("%s: there is no metric %s", q, name)
			default:
				found++
			}
		}
		if found == 0 {
			t.Errorf("%s names no metric", q)
		}
	}
}

// TestHealth_saysWhyChangesAreRefused takes the services away from each other, and puts an old
// folder back.
func TestHealth_saysWhyChangesAreRefused(t *testing.T) {
	t.Parallel()
	r := rigtest.Start(t, rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir(), Env: []string{"CONTROL_CENTER_AUDIT_WAIT_FOR_PEER=3s"}})
	token := r.Token.Reveal()
	says := func(s *rig.Service, health string, ready int, gauge string) func() bool {
		return func() bool {
			status, body := ask(t, s.Address+"/health", "")
			isReady, _ := ask(t, s.Address+"/ready", "")
			_, figures := ask(t, s.Address+"/metrics", token)
			return status == 200 && strings.Contains(body, `"data":"`+health+`"`) && isReady == ready && (gauge == "" || strings.Contains(figures, gauge))
		}
	}
	want := func(what string, s *rig.Service, health string, ready int, gauge string) {
		t.Helper()
		rigtest.Await(t, 20*time.Second, what+": "+health, says(s, health, ready, gauge))
	}
	stop := func(s *rig.Service) {
		t.Helper()
		if code, err := s.Stop(); err != nil || code != 0 {
			t.Fatal(code, err)
		}
	}
	start := func(s *rig.Service) {
		t.Helper()
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	orch, cc := r.Orchestrator, r.ControlCenter
	want("both run", orch, "Orchestrator is healthy", 200, `orchestrator_degraded{reason="control_center.silent"} 0`)
	want("both run", cc, "Control Center is healthy", 200, `control_center_ready 1`)

	stop(cc)
	data := filepath.Join(r.Dir, "control-center")
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", data, data+".old").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want("no control-center", orch, "Orchestrator is degraded: control_center.silent", 503, `orchestrator_degraded{reason="control_center.silent"} 1`)
	if status, body := ask(t, orch.Address+"/tasks", token); status != 200 {
		t.Errorf("reads are not served: %d %s", status, body)
	}
	start(cc)
	want("it is back", orch, "Orchestrator is healthy", 200, `orchestrator_degraded{reason="control_center.silent"} 0`)
	want("it is back", cc, "Control Center is healthy", 200, "")

	stop(orch)
	stop(cc)
	start(cc)
	want("just started", cc, "Control Center is degraded: audit.waiting", 503, `control_center_degraded{reason="audit.waiting"} 1`)
	want("nobody came", cc, "Control Center is degraded: audit.unwitnessed", 200, `control_center_degraded{reason="audit.unwitnessed"} 1`)
	start(orch)
	want("somebody came", cc, "Control Center is healthy", 200, `control_center_degraded{reason="audit.unwitnessed"} 0`)
	want("somebody came", orch, "Orchestrator is healthy", 200, "")

	stop(cc)
	if err := os.Rename(data, data+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(data+".old", data); err != nil {
		t.Fatal(err)
	}
	start(cc)
	want("an old folder", cc, "Control Center is degraded: audit.rolled_back", 503, "")
	want("an old folder", orch, "Orchestrator is degraded: control_center.rolled_back", 503, `orchestrator_degraded{reason="control_center.rolled_back"} 1`)
}

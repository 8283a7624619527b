package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// promtool runs Debian's promtool in the folder of the alert rules and returns what it says.
func promtool(t *testing.T, in string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), rigtest.Need(t, "promtool", "Prometheus (Debian: prometheus)"), args...)
	cmd.Dir, cmd.Stdin = absolute(t, "deploy", "monitoring"), strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestPrometheus_everyAlertFiresWhenItShould: promtool takes the rules, and each alert stands in
// the file of rule tests where it fires and where it does not.
func TestPrometheus_everyAlertFiresWhenItShould(t *testing.T) {
	t.Parallel()
	promtool(t, "", "check", "rules", "alerts.yml")
	promtool(t, "", "check", "config", "--syntax-only", "prometheus.yml")
	promtool(t, "", "test", "rules", "alerts_test.yml")
	rules, err := os.ReadFile(absolute(t, "deploy", "monitoring", "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(absolute(t, "deploy", "monitoring", "alerts_test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	fires := map[string]bool{}
	for _, m := range regexp.MustCompile(`labels: '\{alertname="(\w+)"\}', value`).FindAllSubmatch(tests, -1) {
		fires[string(m[1])] = true
	}
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllSubmatch(rules, -1) {
		if !fires[string(m[1])] {
			t.Errorf("the alert %s fires in no test of alerts_test.yml", m[1])
		}
	}
}

// unit finds the unit that a metric's name ends with, and the word that its help text then has.
var unit = regexp.MustCompile(`_(seconds|bytes|entries|events)(_total)?$`)

// TestPrometheus_scrapesBothServicesWithATokenFile runs Debian's Prometheus with the sample
// configuration, the alert rules and an API token that may read metrics and nothing else: the
// targets are up, the rules are evaluated.
func TestPrometheus_scrapesBothServicesWithATokenFile(t *testing.T) {
	t.Parallel()
	r := rigtest.Start(t, rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()})
	for _, s := range []*rig.Service{r.Orchestrator, r.ControlCenter} {
		if status, body := ask(t, s.Address+"/metrics", ""); status != 401 {
			t.Errorf("%s shows its metrics without a token: %d %.200s", s.Name, status, body)
		}
		_, body := ask(t, s.Address+"/metrics", r.Token.Reveal())
		if said := promtool(t, body, "check", "metrics"); said != "" {
			t.Errorf("promtool finds fault with the metrics of %s:\n%s", s.Name, said)
		}
		for _, m := range regexp.MustCompile(`(?m)^# HELP (\S+) (.*)$`).FindAllStringSubmatch(body, -1) {
			u := unit.FindStringSubmatch(m[1])
			contract := m[1] == "orchestrator_task_duration_seconds" // its text is the reference's
			if u != nil && !contract && !strings.Contains(strings.ToLower(m[2]), u[1]) && !strings.HasPrefix(m[1], "go_") {
				t.Errorf("the help text of %s does not say its unit: %s", m[1], m[2])
			}
		}
	}
	_, token, err := r.CC(r.Token).CreateAPIToken(t.Context(), client.NewAPIToken{Name: "prometheus", ExpiresAt: time.Now().Add(time.Hour),
		Scope: authz.Scope{{Action: []string{"read"}, Resource: "metrics:*"}}})
	if err != nil {
		t.Fatal(err)
	}
	base := startPrometheus(t, r, token.Reveal())
	type target struct{ Health, LastError string }
	var targets struct {
		Data struct{ ActiveTargets []target }
	}
	rigtest.Await(t, time.Minute, "both targets are up", func() bool {
		_, body := ask(t, base+"/api/v1/targets", "")
		targets.Data.ActiveTargets = nil
		if err := json.Unmarshal([]byte(body), &targets); err != nil {
			return false
		}
		down := func(t target) bool { return t.Health != "up" }
		return len(targets.Data.ActiveTargets) == 2 && !slices.ContainsFunc(targets.Data.ActiveTargets, down)
	})
	rigtest.Await(t, time.Minute, "the rules are evaluated, none of them fires and none fails", func() bool {
		_, body := ask(t, base+"/api/v1/rules", "")
		return strings.Contains(body, `"health":"ok"`) && !strings.Contains(body, `"health":"unknown"`) &&
			!strings.Contains(body, `"health":"err"`) && !strings.Contains(body, `"state":"firing"`)
	})
	if status, body := ask(t, r.Orchestrator.Address+"/tasks", token.Reveal()); status != 403 {
		t.Errorf("the token of Prometheus reads tasks: %d %.200s", status, body)
	}
	for _, query := range []string{"orchestrator_ready", "control_center_ready"} {
		if _, body := ask(t, base+"/api/v1/query?query="+query, ""); !strings.Contains(body, `"1"]`) {
			t.Errorf("Prometheus knows %s as %s", query, body)
		}
	}
}

// startPrometheus starts Debian's Prometheus with the sample configuration, at the addresses of an
// installation and with the file of a token, and returns its address. It ends with the test.
func startPrometheus(t *testing.T, r *rig.Rig, token string) string {
	t.Helper()
	dir := t.TempDir()
	config, err := os.ReadFile(absolute(t, "deploy", "monitoring", "prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(config)
	for from, to := range map[string]string{
		"scrape_interval: 15s":  "scrape_interval: 1s\n  evaluation_interval: 1s",
		"[alerts.yml]":          "[" + absolute(t, "deploy", "monitoring", "alerts.yml") + "]",
		"orchestrator:9090":     strings.TrimPrefix(r.Orchestrator.Address, "http://"),
		"control-center:9080":   strings.TrimPrefix(r.ControlCenter.Address, "http://"),
		"/etc/prometheus/token": filepath.Join(dir, "token"),
	} {
		if !strings.Contains(text, from) {
			t.Fatalf("prometheus.yml has no %q any more", from)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	for name, content := range map[string]string{"token": token + "\n", "prometheus.yml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	prometheus := rigtest.Need(t, "prometheus", "Prometheus (Debian: prometheus)")
	cmd := exec.Command(prometheus, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0", "--log.level=info")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address, lines, ended := make(chan string, 1), make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		var all strings.Builder
		for sc := bufio.NewScanner(said); sc.Scan(); {
			all.WriteString(sc.Text() + "\n")
			if m := regexp.MustCompile(`Listening on"? address=(127\.0\.0\.1:\d+)`).FindStringSubmatch(sc.Text()); m != nil {
				address <- m[1]
			}
		}
		lines <- all.String()
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	select {
	case a := <-address:
		return "http://" + a
	case text := <-lines:
		t.Fatalf("Prometheus ended:\n%s", text)
	case <-time.After(time.Minute):
		t.Fatal("Prometheus does not listen")
	}
	return ""
}

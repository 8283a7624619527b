package e2e

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// sent is a delivery as the verifying programs read it.
type sent struct {
	Secret  string            `json:"secret"`
	Body    []byte            `json:"body"` // base64
	Headers map[string]string `json:"headers"`
	good    bool              // whether it is to verify
	what    string
}

// TestWebhooks_publishedLibrariesVerify is E10: the libraries that Standard Webhooks publishes for
// Go, Python and Node verify a delivery of the running service with the new and with the old secret
// of a rotation, and refuse a byte that changed.
func TestWebhooks_publishedLibrariesVerify(t *testing.T) {
	python := rigtest.Python(t, "python-webhooks", "requirements-webhooks.txt",
		"Python 3.8 or later with its venv module (Debian: python3 python3-venv)")
	node, packages := rigtest.Node(t, "node-webhooks")
	r := rigtest.Start(t, sample(t))
	api := r.Orch(r.Token)

	came := make(chan sent, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		s := sent{Headers: map[string]string{}}
		s.Body, _ = io.ReadAll(q.Body)
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			s.Headers[name] = q.Header.Get(name)
		}
		came <- s
	}))
	t.Cleanup(receiver.Close)
	first, err := api.CreateWebhook(t.Context(), client.WebhookInput{URL: &receiver.URL, Events: []string{"checkpoint.created"}}, "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := api.RotateWebhook(t.Context(), first.ID, secret.Text{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.CreateCheckpoint(t.Context(), "größer ‰ 日本", "", ""); err != nil {
		t.Fatal(err)
	}
	got := <-came

	cases := []sent{
		{Secret: second.Secret.Reveal(), good: true, what: "the new secret"},
		{Secret: first.Secret.Reveal(), good: true, what: "the old secret"},
		{Secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte("somebody else's secret")), what: "another secret"},
		{Secret: second.Secret.Reveal(), what: "a changed body"},
	}
	for i := range cases {
		cases[i].Body, cases[i].Headers = got.Body, got.Headers
	}
	cases[3].Body = []byte(strings.Replace(string(got.Body), "checkpoint.created", "checkpoint.Created", 1))

	var lines strings.Builder
	for _, c := range cases {
		hook, err := standardwebhooks.NewWebhook(c.Secret)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		for name, value := range c.Headers {
			h.Set(name, value)
		}
		if err := hook.Verify(c.Body, h); (err == nil) != c.good {
			t.Errorf("go, %s: %v", c.what, err)
		}
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(raw, '\n'))
	}
	for program, script := range map[string]string{python: "verify_webhook.py", node: "verify_webhook.mjs"} {
		cmd := exec.CommandContext(t.Context(), program, filepath.Join("testdata", script))
		cmd.Env = append(os.Environ(), "PACKAGES="+packages)
		cmd.Stdin = strings.NewReader(lines.String())
		out, err := cmd.CombinedOutput()
		said := strings.Fields(string(out))
		if err != nil || len(said) != len(cases) {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
		for i, c := range cases {
			if (said[i] == "good") != c.good {
				t.Errorf("%s, %s: %s", script, c.what, said[i])
			}
		}
	}
}

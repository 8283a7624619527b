package crash

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/webhook"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// sink is a receiver that verifies what comes, refuses half of it by chance, and remembers what it
// took.
type sink struct {
	*httptest.Server
	secret string

	mu     sync.Mutex
	random *rand.Rand        // under mu
	ids    map[string]string // under mu: task → id of its deliveries
	took   map[string]int    // under mu: task → how often it was taken
	faults []string          // under mu: what must not be
}

func newSink(t *testing.T, seed uint64) *sink {
	s := &sink{secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", random: rand.New(rand.NewPCG(seed, 7)), ids: map[string]string{},
		took: map[string]int{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP takes one delivery or refuses it: with 503, or by hanging up without an answer.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil { // its sender was killed
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var in struct {
		Data struct {
			TaskID string `json:"task_id"`
		} `json:"data"`
	}
	wrong := json.Unmarshal(body, &in)
	if wrong == nil {
		wrong = webhook.Verify([]string{s.secret}, r.Header, body, time.Now())
	}
	task, id := in.Data.TaskID, r.Header.Get(webhook.HeaderID)
	if old := s.ids[task]; wrong != nil || task == "" || id == "" || old != "" && old != id {
		s.faults = append(s.faults, fmt.Sprintf("%s came as %q, before as %q: %v", task, id, old, wrong))
	}
	s.ids[task] = id
	switch n := s.random.IntN(4); n {
	case 0:
		w.WriteHeader(http.StatusServiceUnavailable)
	case 1:
		panic(http.ErrAbortHandler)
	default:
		s.took[task]++
	}
}

// tasks returns how many tasks were taken at least once, and how many times one was taken again.
func (s *sink) tasks() (taken, again int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.took {
		again += n - 1
	}
	return len(s.took), again
}

// TestWebhooks_noneIsLostAndARepeatedOneHasItsID is the bar's E08: 1,000 deliveries go to a
// receiver that fails half of the time while the orchestrator is killed ten times; with -kills 100
// they are 10,000 and a hundred. Each arrives, in all repetitions under one id, and a kill repeats
// at most the one that was under way.
func TestWebhooks_noneIsLostAndARepeatedOneHasItsID(t *testing.T) {
	deaths := max(10, *kills/50*50)
	tasks := 100 * deaths
	receiver := newSink(t, seedOf(t))
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir(), Env: []string{"CONTROL_CENTER_TOKENS_ACCESS_TTL=4h"}}
	o.OrchestratorConfig = filepath.Join(o.Dir, "orchestrator.toml")
	pauses := strings.TrimSuffix(strings.Repeat(`"50ms",`, 60), ",") // that many failures in a row do not happen
	text := "[providers.fast]\ndriver = \"simulated\"\n[webhooks]\nallow = [\"127.0.0.0/8\"]\nretry = [" + pauses + "]\n"
	if err := os.WriteFile(o.OrchestratorConfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := rigtest.Start(t, o)
	api := r.Orch(r.Token)
	hook, err := api.CreateWebhook(t.Context(), client.WebhookInput{URL: &receiver.URL, Events: []string{"task.completed"},
		Secret: secret.New(receiver.secret)}, "")
	if err != nil {
		t.Fatal(err)
	}
	var batches []string
	for first := 0; first < tasks; first += 1000 {
		var operations []map[string]any
		for n := first; n < first+1000; n++ {
			operations = append(operations, map[string]any{"id": fmt.Sprint("op-", n), "type": "server_batch", "provider": "fast",
				"server_configs": []map[string]any{{"name": fmt.Sprint("hooked-", n)}}})
		}
		definition, err := json.Marshal(map[string]any{"name": "hooked", "operations": operations})
		if err != nil {
			t.Fatal(err)
		}
		b, err := api.SubmitBatch(t.Context(), definition, "")
		if err != nil {
			t.Fatal(err)
		}
		batches = append(batches, b.BatchID)
	}
	arrived := func(want int) {
		t.Helper()
		rigtest.Await(t, time.Minute, fmt.Sprintf("%d deliveries were taken", want), func() bool {
			taken, _ := receiver.tasks()
			return taken >= want
		})
	}
	for n := range deaths {
		arrived((n + 1) * tasks / (deaths + 2))
		if err := r.Orchestrator.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := r.Orchestrator.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	arrived(tasks)
	for _, id := range batches {
		rigtest.Await(t, time.Minute, "the batch has ended", func() bool {
			b, err := api.Batch(t.Context(), id)
			return err == nil && b.Status == "Completed"
		})
	}
	for _, status := range []string{"pending", "dead"} {
		rigtest.Await(t, time.Minute, "no delivery is "+status, func() bool {
			l, err := api.Deliveries(t.Context(), hook.ID, status, client.Page{Limit: 1})
			return err == nil && len(l.Rows) == 0
		})
	}
	taken, again := receiver.tasks()
	if taken != tasks || again > deaths || len(receiver.faults) > 0 {
		t.Errorf("%d of %d arrived, %d of them again after %d kills; %v", taken, tasks, again, deaths, receiver.faults)
	}
	t.Logf("%d deliveries, %d kills, %d were taken twice", taken, deaths, again)
}

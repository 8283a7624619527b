package security

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// The figures of R03 as ruling 57 sets them.
const (
	largest      = 8 << 20 // of a body of POST /batch/execute
	atOnce       = 64
	memoryMost   = 512 << 20
	answeredIn   = 5 * time.Second
	readIn       = time.Second
	submittedIn  = 2 * time.Second
	mostElements = 300_000 // of one body, in all its lists
)

// hostile are bodies of the largest size, each of them dear in another way, and none of them good.
func hostile() map[string][]byte {
	fill := func(head, unit, tail string) []byte {
		n := (largest - len(head) - len(tail)) / (len(unit) + 1)
		return []byte(head + strings.TrimSuffix(strings.Repeat(unit+",", n), ",") + tail)
	}
	op := func(i int, more string) string {
		return fmt.Sprintf(`{"id":"o%d","type":"server_batch","provider":"none",%s}`, i, more)
	}
	// So many servers that the lists of one body hold as much as is accepted, in as many operations
	// as there may be.
	servers := strings.TrimSuffix(strings.Repeat(`{"name":"a"},`, mostElements/2000-1), ",")
	var many []string
	for i := range 2000 {
		many = append(many, op(i, `"server_configs":[`+servers+`]`))
	}
	full := `{"name":"x","operations":[` + strings.Join(many, ",") + `]}`
	full += strings.Repeat(" ", largest-len(full))
	return map[string][]byte{
		"operations without members": fill(`{"name":"x","operations":[`, "{}", "]}"),
		"one list of short texts":    fill(`{"name":"x","operations":[{"id":"a","type":"t","provider":"p","dependencies":[`, `""`, "]}]}"),
		"lists of servers":           fill(`{"name":"x","operations":[`, op(1, `"server_configs":[`+strings.TrimSuffix(strings.Repeat("{},", 900), ",")+`]`), "]}"),
		"unknown members":            fill(`{"name":"x","operations":[`, `{"`+strings.Repeat("u", 20)+`":[[[[]]]]}`, "]}"),
		"one long text":              []byte(`{"name":"` + strings.Repeat("x", largest-40) + `","operations":[]}`),
		"escapes":                    []byte(`{"operations":[],"name":"` + strings.Repeat(`\u0041`, (largest-40)/6) + `"}`),
		"as much as is accepted":     []byte(full),
		"the same, and a fault":      []byte(full[:largest-2] + "}!"),
	}
}

// TestMemory_largestBodiesAtOnceStayWithinBounds is R03 and ruling 57: 64 bodies of 8 MiB at once,
// by a viewer, who may not submit, and by an administrator, with the collector as it is and with a
// limit of 256 MiB.
func TestMemory_largestBodiesAtOnceStayWithinBounds(t *testing.T) {
	bodies := hostile()
	for _, limit := range []string{"", "GOMEMLIMIT=256MiB"} {
		t.Run("collector:"+limit, func(t *testing.T) {
			dir := t.TempDir()
			config, err := configure(dir)
			if err != nil {
				t.Fatal(err)
			}
			o := rig.Options{Bin: rigtest.Binaries(t), Dir: dir, OrchestratorConfig: config}
			if limit != "" {
				o.Env = []string{limit}
			}
			s := &site{Rig: rigtest.Start(t, o), people: map[string]*person{}}
			viewer, err := s.hire(t.Context(), "viewer-1", "viewer")
			if err != nil {
				t.Fatal(err)
			}
			s.flood(t, "viewer", viewer.token, bodies)
			s.flood(t, "administrator", s.Token.Reveal(), bodies)
			s.submitsLargeBatch(t)
			if peak := s.peak(t); peak > memoryMost {
				t.Errorf("the resident set was %d MiB at its peak, at most %d MiB are wanted", peak>>20, memoryMost>>20)
			} else {
				t.Logf("peak %d MiB", peak>>20)
			}
		})
	}
}

// flood sends the bodies at once, until there are 64, and reads tasks meanwhile.
func (s *site) flood(t *testing.T, who, token string, bodies map[string][]byte) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var beside, senders sync.WaitGroup
	slowest := time.Duration(0)
	beside.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			if a := s.send(t, "orchestrator", "GET", "/tasks?limit=1", token, nil); a.Status != 200 {
				t.Errorf("GET /tasks meanwhile: %d", a.Status)
			}
			slowest = max(slowest, time.Since(began))
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	var mu sync.Mutex
	counts := map[string]int{}
	for n := 0; n < atOnce; {
		for name, body := range bodies {
			if n++; n > atOnce {
				break
			}
			senders.Go(func() {
				began := time.Now()
				status, wait, err := s.post(ctx, token, body)
				took := time.Since(began)
				mu.Lock()
				defer mu.Unlock()
				counts[strconv.Itoa(status)]++
				switch {
				case err != nil:
					t.Errorf("%s: %s: %v", who, name, err)
				case took > answeredIn:
					t.Errorf("%s: %s: answered %d after %s", who, name, status, took)
				case (status == 503 || status == 429) && wait == "":
					t.Errorf("%s: %s: %d without Retry-After", who, name, status)
				case who == "viewer" && status != 403, who != "viewer" && status != 422 && status != 503 && status != 429 &&
					!(status == 400 && strings.HasSuffix(name, "fault")):
					t.Errorf("%s: %s: %d", who, name, status)
				}
			})
		}
	}
	senders.Wait()
	stop()
	beside.Wait()
	if who != "viewer" && counts["422"] == 0 {
		t.Error("none of the bodies was worked on")
	}
	if slowest > readIn {
		t.Errorf("as %s: a read took %s meanwhile, at most %s is wanted", who, slowest, readIn)
	}
	t.Logf("as %s: statuses %v, slowest read %s, peak %d MiB", who, counts, slowest, s.peak(t)>>20)
}

// post sends one batch over a connection of its own.
func (s *site) post(ctx context.Context, token string, body []byte) (status int, retryAfter string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Orchestrator.Address+"/batch/execute", bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Retry-After"), nil
}

// submitsLargeBatch sends a good batch of as many operations as there may be.
func (s *site) submitsLargeBatch(t *testing.T) {
	t.Helper()
	ops := make([]map[string]any, 2000)
	for i := range ops {
		ops[i] = map[string]any{"id": fmt.Sprint("o", i), "type": "server_batch", "provider": "fast",
			"server_configs": []any{map[string]any{"name": fmt.Sprint("s", i), "plan": "p", "zone": "z"}}}
	}
	body, err := json.Marshal(map[string]any{"name": "large", "operations": ops})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	status, _, err := s.post(t.Context(), s.Token.Reveal(), body)
	if took := time.Since(began); err != nil || status != 200 || took > submittedIn {
		t.Errorf("a good batch of 2,000 operations afterwards: %d after %s (%v)", status, took, err)
	}
}

// peak returns the most memory that the orchestrator had resident so far, in bytes.
func (s *site) peak(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Orchestrator.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

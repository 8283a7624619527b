package watch

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/store"
)

func TestWatch_tokenPlaces(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	query := p.dial(t, "token=ann")
	header, _, err := websocket.DefaultDialer.Dial(p.url, http.Header{"Authorization": {"Bearer ann"}})
	if err != nil {
		t.Fatal(err)
	}
	defer header.Close()
	message := p.dial(t, "")
	say(t, message, `{"type":"subscribe","events":["task"]}`)
	if m := next(t, message); m["type"] != "error" {
		t.Errorf("subscribed without a token: %v", m)
	}
	say(t, message, `{"type":"auth","token":"ann","id":"7"}`)
	if m := next(t, message); m["type"] != "ack" || m["id"] != "7" || m["expires_at"] == nil {
		t.Errorf("auth answered %v", m)
	}
	p.emit(t, "TaskStatusChanged", 1)
	for _, ws := range []*websocket.Conn{query, header, message} {
		m := next(t, ws)
		if m["event_type"] != "TaskStatusChanged" || m["sequence"] != 1.0 || m["epoch"] != "e1" ||
			m["data"].(map[string]any)["task_id"] != "t0" {
			t.Errorf("got %v", m)
		}
	}
	bad := p.dial(t, "")
	say(t, bad, `{"type":"auth","token":"expired"}`)
	if code, _ := closeCode(t, bad); code != 4401 {
		t.Errorf("a bad auth message closes with %d", code)
	}
	if p.Stats().QueryTokens != 1 {
		t.Errorf("%d tokens in the query counted", p.Stats().QueryTokens)
	}
}

// TestWatch_queryTokensCanBeSwitchedOff is A62: the other two places go on.
func TestWatch_queryTokensCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	p := start(t, func(c *Config) { c.NoQueryToken = true })
	address := p.url
	ws, resp, err := websocket.DefaultDialer.Dial(address+"?token=ann", nil)
	if err == nil || resp == nil || resp.StatusCode != 401 {
		t.Fatalf("a token in the address: %v %v", ws, err)
	}
	if ws, _, err = websocket.DefaultDialer.Dial(address, http.Header{"Authorization": {"Bearer ann"}}); err != nil {
		t.Fatal(err)
	}
	_ = ws.Close()
	if ws, _, err = websocket.DefaultDialer.Dial(address, nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.Close() }()
	say(t, ws, `{"type":"auth","token":"ann"}`)
	if m := next(t, ws); m["type"] != "ack" {
		t.Errorf("the first message: %v", m)
	}
}

func TestWatch_refusedBeforeTheUpgrade(t *testing.T) {
	t.Parallel()
	p := start(t, func(c *Config) { c.Origins = []string{"https://console.example"} })
	p.emit(t, "TaskStatusChanged", 3)
	p.dial(t, "token=ann&since=3&epoch=e1")
	for _, c := range []struct {
		query  string
		head   http.Header
		status int
	}{
		{"token=expired", nil, 401},
		{"", http.Header{"Authorization": {"Basic x"}}, 401},
		{"", http.Header{"Authorization": {"Bearer "}}, 401},
		{"token=ann", http.Header{"Authorization": {""}}, 401},
		{"", http.Header{"Authorization": {"Bearer ann", "Bearer bob"}}, 401},
		{"token=ann&events=task,nonsense", nil, 400},
		{"token=ann&batch_size=0", nil, 400},
		{"token=ann&batch_size=x", nil, 400},
		{"token=ann&since=-1", nil, 400},
		{"token=ann&since=1&epoch=e0", nil, 410},
		{"token=ann&since=4&epoch=e1", nil, 410},
		{"token=ann", http.Header{"Origin": {"https://evil.example"}}, 403},
		{"token=ann", http.Header{"Origin": {"null"}}, 403},
		{"token=ann", http.Header{"Origin": {"https://console.example.evil.example"}}, 403},
		{"token=ann", http.Header{"Origin": {"http://console.example"}}, 403},
		{"token=ann", http.Header{"Cookie": {"a=b"}}, 403},
		{"token=ann", http.Header{"Origin": {"https://console.example"}}, 101},
		{"token=ann", http.Header{"Origin": {"http" + strings.TrimSuffix(strings.TrimPrefix(p.url, "ws"), "/ws")}}, 101},
	} {
		ws, resp, err := websocket.DefaultDialer.Dial(p.url+"?"+c.query, c.head)
		if resp == nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != c.status {
			t.Errorf("%q %v: %d %s", c.query, c.head, resp.StatusCode, body)
		}
		if err == nil {
			ws.Close()
			continue
		}
		var m map[string]any
		if json.Unmarshal(body, &m) != nil || m["success"] != false {
			t.Errorf("%q: not enveloped: %s", c.query, body)
		}
		if c.status == 410 && (m["earliest"] != 1.0 || m["epoch"] != "e1") {
			t.Errorf("%q: %s", c.query, body)
		}
	}
	resp, err := http.Get("http" + strings.TrimPrefix(p.url, "ws"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 400 || resp.Header.Get("Upgrade") != "websocket" {
		t.Errorf("plain GET: %d", resp.StatusCode)
	}
}

// TestWatch_belowTheKeptRangeIsGone connects after a trim, and in the middle of one.
func TestWatch_belowTheKeptRangeIsGone(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	p.emit(t, "TaskStatusChanged", 2*ringSize)
	trim := func(through uint64) {
		t.Helper()
		if _, err := p.hub.Commit(t.Context(), store.Batch{Trims: []store.Trim{{Stream: Stream, Through: through}}}); err != nil {
			t.Fatal(err)
		}
	}
	trim(100)
	for since, want := range map[int]int{0: 410, 99: 410, 100: 101, 2 * ringSize: 101} {
		ws, resp, err := websocket.DefaultDialer.Dial(fmt.Sprintf("%s?token=ann&since=%d&epoch=e1", p.url, since), nil)
		if resp == nil || resp.StatusCode != want {
			t.Fatalf("since %d: %v, %v; want %d", since, resp, err, want)
		}
		if want == 410 {
			var told struct {
				Earliest uint64
				Epoch    string
			}
			if err := json.NewDecoder(resp.Body).Decode(&told); err != nil || told.Earliest != 101 || told.Epoch != "e1" {
				t.Errorf("since %d: told %+v, %v", since, told, err)
			}
			continue
		}
		_ = ws.Close()
	}

	long := strings.Repeat("x", 2000)
	for range 8 {
		var b store.Batch
		for range 1000 {
			b.Appends = append(b.Appends, store.Append{Stream: Stream, Body: fmt.Appendf(nil, `{"data":{"text":%q},"event_type":"TaskStatusChanged","timestamp":"2026-01-01T00:00:00Z"}`, long)})
		}
		if _, err := p.hub.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	slow := p.dial(t, fmt.Sprintf("token=ann&since=%d", 2*ringSize)) // does not read, so most of 16 MB waits
	trim(2*ringSize + 3000)
	code, text := closeCode(t, slow)
	if code != closeReset || !strings.Contains(text, "not kept any more") {
		t.Errorf("a reader whose next events were trimmed is closed with %d %q", code, text)
	}
}

func TestWatch_sinceReplaysAndGoesOnLive(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	p.emit(t, "TaskStatusChanged", 700)
	ws := p.dial(t, "token=ann&since=100")
	for i := 101; i <= 1000; i++ {
		if i == 600 {
			p.emit(t, "BatchStatusChanged", 300)
		}
		if m := next(t, ws); m["sequence"] != float64(i) {
			t.Fatalf("want %d, got %v", i, m)
		}
	}
}

// TestWatch_resumeAfterRandomCuts is E02, reduced: more than 30 of 100 cuts.
func TestWatch_resumeAfterRandomCuts(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	const total = 3000
	go func() {
		for range total / 30 {
			p.emit(t, "TaskStatusChanged", 30)
		}
	}()
	last, cuts := 0, 0
	for last < total {
		ws := p.dial(t, fmt.Sprintf("token=ann&since=%d&epoch=e1", last))
		for n := 0; n < 37+cuts%50 && last < total; n++ {
			m := next(t, ws)
			if m["sequence"] != float64(last+1) {
				t.Fatalf("after %d came %v", last, m["sequence"])
			}
			last++
		}
		ws.Close()
		cuts++
	}
	if cuts < 30 {
		t.Errorf("only %d cuts", cuts)
	}
}

func TestWatch_filters(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	tasks := p.dial(t, "token=ann&events=task")
	lists := p.dial(t, "token=ann&batch_size=10")
	viewer := p.dial(t, "token=bob:batch")
	ids := p.dial(t, "token=ann&events=task")
	say(t, ids, `{"type":"subscribe","events":["task"],"task_ids":["t3"],"batch_ids":["b9"]}`)
	if m := next(t, ids); m["type"] != "ack" {
		t.Fatal(m)
	}
	p.emit(t, "BatchStatusChanged", 1)
	p.emit(t, "TaskStatusChanged", 24)
	p.emit(t, "OperationStatusChanged", 1)
	for i := 2; i <= 25; i++ {
		if m := next(t, tasks); m["sequence"] != float64(i) {
			t.Fatalf("events=task: want %d, got %v", i, m)
		}
	}
	for _, want := range []float64{1, 26} {
		if m := next(t, viewer); m["sequence"] != want {
			t.Fatalf("a viewer of batches got %v", m)
		}
	}
	if m := next(t, ids); m["metadata"].(map[string]any)["task_id"] != "t3" {
		t.Errorf("task_ids: %v", m)
	}
	got := 0
	for got < 26 {
		var list []map[string]any
		if err := lists.ReadJSON(&list); err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 || len(list) > 10 {
			t.Fatalf("a list of %d", len(list))
		}
		for _, m := range list {
			got++
			if m["sequence"] != float64(got) {
				t.Fatalf("list: want %d, got %v", got, m["sequence"])
			}
		}
	}
	say(t, tasks, `{"type":"unsubscribe","events":["task"]}`)
	if m := next(t, tasks); m["type"] != "ack" {
		t.Fatal(m)
	}
	say(t, tasks, `{"type":"subscribe","events":["system"]}`)
	next(t, tasks)
	p.emit(t, "TaskStatusChanged", 1)
	p.emit(t, "SystemHealthChanged", 1)
	if m := next(t, tasks); m["event_type"] != "SystemHealthChanged" {
		t.Errorf("after unsubscribe: %v", m)
	}
}

// TestWatch_filtersByTypeRunAndInfra asks in the address, in an auth message and by subscribe, from
// a sequence on: what is replayed and what comes live pass the same filter.
func TestWatch_filtersByTypeRunAndInfra(t *testing.T) {
	t.Parallel()
	for query, want := range map[string][]int{ // events 1 to 6 are of tasks t0 to t5, 7 to 12 of the same batches
		"event_types=TaskStatusChanged":                            {1, 2, 3, 4, 5, 6},
		"event_types=BatchStatusChanged,OperationStatusChanged":    {7, 8, 9, 10, 11, 12},
		"event_types=TaskStatusChanged&events=batch":               nil,
		"batch_ids=b1&events=task":                                 {2, 4, 6},
		"task_ids=t3,%20t4":                                        {4, 5, 10, 11},
		"task_ids=t3&batch_ids=b0&event_types=BatchStatusChanged":  {7, 9, 10, 11},
		"infra=in1&events=batch":                                   {8, 11},
		"infra=in0,in2&batch_ids=b1&event_types=TaskStatusChanged": {4, 6},
		"infra=nowhere":                                            nil,
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			p := start(t, nil)
			p.emit(t, "TaskStatusChanged", 6)
			replayed := p.dial(t, "token=ann&since=0&"+query)
			live := p.dial(t, "token=ann&"+query)
			values, _ := url.ParseQuery(query)
			said := map[string]any{"type": "auth", "token": "ann"}
			for name, v := range values {
				said[name] = strings.Split(v[0], ",")
			}
			message, _ := json.Marshal(said)
			spoken := p.dial(t, "since=0&epoch=e1")
			say(t, spoken, string(message))
			p.emit(t, "BatchStatusChanged", 6)
			for _, ws := range []*websocket.Conn{replayed, live, spoken} {
				acked := ws != spoken // its ack comes among the first events
				for i := 0; i < len(want) || !acked; {
					if ws == live && i < len(want) && want[i] <= 6 {
						i++
						continue
					}
					m := next(t, ws)
					switch {
					case !acked && m["type"] == "ack":
						acked = true
						continue
					case i == len(want) || m["sequence"] != float64(want[i]):
						t.Fatalf("event %d of %v is %v", i, want, m)
					}
					i++
				}
				// A renewal that names no filter leaves it.
				say(t, ws, `{"type":"auth","token":"ann"}`)
				if m := next(t, ws); m["type"] != "ack" {
					t.Errorf("more than was asked for: %v", m)
				}
			}
			p.emit(t, "SystemHealthChanged", 1)
			p.emit(t, "TaskStatusChanged", 6) // 14 to 19
			for _, ws := range []*websocket.Conn{replayed, live, spoken} {
				for _, seq := range want {
					if seq > 6 {
						break
					}
					if m := next(t, ws); m["sequence"] != float64(seq+13) {
						t.Fatalf("after the renewal want %d, got %v", seq+13, m)
					}
				}
				say(t, ws, `{"type":"subscribe","event_types":["OperationStatusChanged"],"infra":["in0"]}`)
				if m := next(t, ws); m["type"] != "ack" {
					t.Errorf("more than was asked for: %v", m)
				}
			}
			p.emit(t, "OperationStatusChanged", 4) // 20 to 23, of which two are of in0
			for _, ws := range []*websocket.Conn{replayed, live, spoken} {
				for _, seq := range []float64{20, 23} {
					if m := next(t, ws); m["sequence"] != seq {
						t.Fatalf("after subscribe want %v, got %v", seq, m)
					}
				}
			}
		})
	}
}

// TestWatch_aBadFilterChangesNothing answers a message whose filter is bad; neither its filter nor
// its token counts.
func TestWatch_aBadFilterChangesNothing(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	for _, query := range []string{"event_types=Nothing", "event_types=TaskStatusChanged,",
		"batch_ids=" + strings.Repeat("b,", maxIDs) + "b"} {
		if status, body := p.refused(t, "token=ann&"+query, nil); status != 400 {
			t.Errorf("%.40s: %d %s", query, status, body)
		}
	}
	ws := p.dial(t, "events=task")
	for _, bad := range []string{`"event_types":["Nothing"]`, `"events":["nothing"]`, `"infra":["` + strings.Repeat(`x","`, maxIDs) + `x"]`} {
		say(t, ws, `{"type":"auth","token":"ann",`+bad+`}`)
		if m := next(t, ws); m["type"] != "error" || m["for"] != "auth" {
			t.Errorf("%.40s: %v", bad, m)
		}
	}
	say(t, ws, `{"type":"subscribe"}`)
	if m := next(t, ws); m["code"] != "ws.unauthenticated" {
		t.Errorf("after bad messages: %v", m)
	}
	say(t, ws, `{"type":"auth","token":"ann"}`)
	if m := next(t, ws); fmt.Sprint(m["events"]) != "[task]" {
		t.Errorf("the filter of the address: %v", m)
	}
}

package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
)

// TestDelivery_whatWasAskedForAndOnlyThat is behaviours 170 and 171.
func TestDelivery_whatWasAskedForAndOnlyThat(t *testing.T) {
	t.Parallel()
	db := newHub()
	w := New(testConfig(t, db))
	emit(t, db, "a.done", 1) // before the endpoint was made
	r := receive(t, ok)
	e := add(t, w, r.URL, "a.done")
	running(t, w)
	emit(t, db, "b.done", 2)
	emit(t, db, "unknown", 3)
	emit(t, db, "a.done", 4, 5)
	all := r.wait(t, 2)
	stage(t, w, e.ID, Delivered, 2)
	if all[0].Data.N != 4 || all[1].Data.N != 5 || len(all) != 2 || all[0].id == all[1].id {
		t.Errorf("%+v", all)
	}
	for _, g := range all {
		if err := Verify([]string{testSecret}, g.header, g.body, time.Now()); err != nil {
			t.Error(err)
		}
		if err := VerifyBody([]string{testSecret}, g.body); err != nil {
			t.Error(err)
		}
		if g.header.Get(HeaderBody) != Digest(testSecret, g.body) {
			t.Errorf("header signature %s", g.header.Get(HeaderBody))
		}
	}
}

// TestDelivery_repeatsWithTheSameIDWhatFails is 172 with a receiver that fails half the time.
func TestDelivery_repeatsWithTheSameIDWhatFails(t *testing.T) {
	t.Parallel()
	db := newHub()
	c := testConfig(t, db)
	c.Schedule = make([]time.Duration, 30)
	for i := range c.Schedule {
		c.Schedule[i] = time.Millisecond
	}
	w := New(c)
	took := map[int]string{}
	r := receive(t, func(n int, g got) int {
		if n%2 == 1 {
			return http.StatusInternalServerError
		}
		took[g.Data.N] = g.id
		return http.StatusNoContent
	})
	e := add(t, w, r.URL, "a.done")
	running(t, w)
	const total = 50
	for n := range total {
		emit(t, db, "a.done", n)
	}
	deliveries := stage(t, w, e.ID, Delivered, total)
	ids := map[int]string{}
	for _, g := range r.wait(t, 2*total) {
		if old := ids[g.Data.N]; old != "" && old != g.id {
			t.Errorf("event %d came as %s and %s", g.Data.N, old, g.id)
		}
		ids[g.Data.N] = g.id
	}
	if len(took) != total {
		t.Errorf("%d of %d were taken", len(took), total)
	}
	tried := 0
	for _, d := range deliveries {
		tried += len(d.Attempts)
		if last := d.Attempts[len(d.Attempts)-1]; last.Status != http.StatusNoContent {
			t.Errorf("%+v", d)
		}
	}
	if tried != 2*total {
		t.Errorf("%d attempts are stored, want %d", tried, 2*total)
	}
}

// TestDelivery_deadReceiverDelaysNobody is 175 and 179: one hangs, one is not there, one points at
// the metadata address.
func TestDelivery_deadReceiverDelaysNobody(t *testing.T) {
	t.Parallel()
	db := newHub()
	w := New(testConfig(t, db))
	free := make(chan struct{})
	hanging := receive(t, func(int, got) int { <-free; return http.StatusOK })
	t.Cleanup(func() { close(free) })
	away := receive(t, ok)
	away.Close()
	redirect := receive(t, func(int, got) int { return http.StatusFound })
	good := receive(t, ok)
	h := add(t, w, hanging.URL, "a.done")
	a := add(t, w, away.URL, "a.done")
	p := add(t, w, redirect.URL, "a.done")
	g := add(t, w, good.URL, "a.done")
	running(t, w)
	start := time.Now()
	emit(t, db, "a.done", 1, 2, 3)
	good.wait(t, 3)
	stage(t, w, g.ID, Delivered, 3)
	if took := time.Since(start); took > time.Second {
		t.Errorf("the good receiver waited %v", took)
	}
	for _, e := range []Endpoint{a, p} {
		until(t, "paused", func() bool {
			now, err := w.Get(t.Context(), e.ID)
			return err == nil && now.Condition == Paused && strings.Contains(now.Reason, "whole schedule")
		})
	}
	if d := stage(t, w, p.ID, Dead, 1)[0]; !strings.Contains(d.Cause, "302") || d.Tries != 3 {
		t.Errorf("%+v", d)
	}
	until(t, "an attempt timed out", func() bool {
		rows, _, err := Deliveries.List(t.Context(), db, store.Query{Prefix: h.ID + "/", Limit: 1})
		return err == nil && len(rows) == 1 && len(rows[0].Value.Attempts) > 0 &&
			strings.Contains(rows[0].Value.Attempts[0].Error, "in time")
	})
}

// TestDelivery_refusedIsNotRepeated is 173: 4xx is final, 410 pauses the endpoint, 408 and 429 are
// tried again.
func TestDelivery_refusedIsNotRepeated(t *testing.T) {
	t.Parallel()
	db := newHub()
	w := New(testConfig(t, db))
	status := []int{http.StatusBadRequest, http.StatusNotFound, http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusOK,
		http.StatusGone}
	r := receive(t, func(n int, _ got) int { return status[n-1] })
	e := add(t, w, r.URL, "a.done")
	running(t, w)
	for n := range 2 {
		emit(t, db, "a.done", n)
		stage(t, w, e.ID, Dead, n+1)
	}
	emit(t, db, "a.done", 2)
	stage(t, w, e.ID, Delivered, 1)
	emit(t, db, "a.done", 3)
	dead := stage(t, w, e.ID, Dead, 3)
	until(t, "paused", func() bool { now, err := w.Get(t.Context(), e.ID); return err == nil && now.Condition == Paused })
	if all := r.wait(t, len(status)); len(all) != len(status) || all[2].id != all[4].id {
		t.Errorf("%d requests", len(all))
	}
	if !strings.Contains(dead[0].Cause, "410") || !strings.Contains(dead[1].Cause, "404") || dead[1].Tries != 1 {
		t.Errorf("%+v", dead)
	}
	if now, _ := w.Get(t.Context(), e.ID); !strings.Contains(now.Reason, "410") || now.PausedAt == nil {
		t.Errorf("%+v", now)
	}
	emit(t, db, "a.done", 4) // waits
	if err := w.Resume(t.Context(), e.ID, yes); err != nil {
		t.Fatal(err)
	}
	status = append(status, http.StatusOK)
	_ = r.wait(t, len(status))
	if n := actions(t, db); n["webhook.pause"] != 1 || n["webhook.resume"] != 1 {
		t.Errorf("audit entries %v", n)
	}
}

// dying is a store that takes nothing any more once it was killed, as for a process that is gone.
type dying struct {
	store.DB
	killed atomic.Bool
}

func (d *dying) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	if d.killed.Load() {
		return store.Receipt{}, store.ErrUnavailable
	}
	return d.DB.Commit(ctx, b)
}

// TestDelivery_killedBetweenSendAndCommitComesAgainUnderItsID is 176 and E08: of 500 events, with
// 30 % of the attempts failed and a kill behind each hundredth, nothing is lost, and a kill repeats
// at most one.
func TestDelivery_killedBetweenSendAndCommitComesAgainUnderItsID(t *testing.T) {
	t.Parallel()
	db := newHub()
	var now *dying
	var mu sync.Mutex
	kills := 0
	r := receive(t, func(n int, _ got) int {
		if n%10 < 3 {
			return http.StatusServiceUnavailable
		}
		if n%100 == 55 {
			mu.Lock()
			now.killed.Store(true) // the receiver has it; the sender will never know
			kills++
			mu.Unlock()
		}
		return http.StatusOK
	})
	settings := func(db *feed.Hub) Config {
		c := testConfig(t, db)
		c.Schedule = make([]time.Duration, 30)
		return c
	}
	e := add(t, New(testConfig(t, db)), r.URL, "a.done")
	const total = 500
	for n := range total {
		emit(t, db, "a.done", n)
	}
	for done := 0; done < total; {
		mu.Lock()
		now = &dying{DB: db}
		w := New(settings(feed.NewHub(now)))
		mu.Unlock()
		stop := running(t, w)
		until(t, "killed or done", func() bool {
			n, err := w.count(t.Context(), e.ID, Delivered)
			if err != nil {
				t.Fatal(err)
			}
			done = n
			return now.killed.Load() || done == total
		})
		stop()
	}
	ids, repeated := map[int]string{}, 0
	for i, g := range r.wait(t, total) {
		if old := ids[g.Data.N]; old != "" && old != g.id {
			t.Errorf("event %d came as %s and %s", g.Data.N, old, g.id)
		}
		if (i+1)%10 < 3 {
			continue // was answered with a failure
		}
		if ids[g.Data.N] != "" {
			repeated++
		}
		ids[g.Data.N] = g.id
	}
	if len(ids) != total || kills < 5 || repeated > kills {
		t.Errorf("%d of %d events, %d repetitions of %d kills", len(ids), total, repeated, kills)
	}
}

// TestDelivery_storeThatTakesNothingDoesNotRepeatIt is a full disk: what was sent is not sent again
// until its outcome is stored.
func TestDelivery_storeThatTakesNothingDoesNotRepeatIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := &dying{DB: newHub()}
		db := feed.NewHub(full)
		w := New(testConfig(t, db))
		a := &answers{start: time.Now(), answer: func(int) *http.Response {
			full.killed.Store(true)
			return &http.Response{StatusCode: http.StatusOK}
		}}
		w.client = &http.Client{Transport: a}
		e := add(t, w, "https://example.com/", "a.done")
		emit(t, db, "a.done", 1)
		stop := running(t, w)
		<-time.After(time.Minute)
		full.killed.Store(false)
		<-time.After(10 * time.Second)
		stop()
		if d := stage(t, w, e.ID, Delivered, 1)[0]; len(a.at) != 1 || len(d.Attempts) != 1 {
			t.Errorf("sent %d times: %+v", len(a.at), d)
		}
	})
}

// answers is a transport that answers by itself, for the clock of synctest.
type answers struct {
	at     []time.Duration
	start  time.Time
	answer func(n int) *http.Response
}

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	a.at = append(a.at, time.Since(a.start))
	r := a.answer(len(a.at))
	if r == nil {
		return nil, errors.New("connection refused")
	}
	r.Body = io.NopCloser(strings.NewReader(""))
	return r, nil
}

// sendOnly runs the sender of an endpoint without its follower, whose looks at the store would cost
// more than the days that the test's clock goes on, and gives it one event.
func sendOnly(t *testing.T, w *Webhooks, e Endpoint) (stop func()) {
	t.Helper()
	s := &sender{w: w, endpoint: e.ID, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	if err := s.queue(t.Context(), []store.Entry{{Seq: 1, Body: []byte(`{"event":"a.done","n":1}`)}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.running.Go(func() { s.send(ctx) })
	return func() { cancel(); s.running.Wait() }
}

// TestSchedule_isThatOfStandardWebhooks is E09: ten attempts in 75 h 35 min 5 s, each pause within
// 20 %.
func TestSchedule_isThatOfStandardWebhooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := newHub()
		c := testConfig(t, db)
		c.Schedule = nil
		w := New(c)
		a := &answers{start: time.Now(), answer: func(int) *http.Response { return nil }}
		w.client = &http.Client{Transport: a}
		e := add(t, w, "https://example.com/", "a.done")
		stop := sendOnly(t, w, e)
		<-time.After(100 * time.Hour)
		stop()
		total := time.Duration(0)
		for _, d := range DefaultSchedule() {
			total += d
		}
		if total != 75*time.Hour+35*time.Minute+5*time.Second || len(a.at) != 10 {
			t.Fatalf("%d attempts, schedule of %v", len(a.at), total)
		}
		for i, want := range DefaultSchedule() {
			if pause := a.at[i+1] - a.at[i]; pause < want*8/10 || pause > want*12/10+time.Second {
				t.Errorf("pause %d of %v, want %v", i+1, pause, want)
			}
		}
		d := stage(t, w, e.ID, Dead, 1)[0]
		if d.Tries != 10 || len(d.Attempts) != 10 || !strings.Contains(d.Cause, "connection refused") {
			t.Errorf("%+v", d)
		}
	})
}

func TestSchedule_waitsAsLongAsTheReceiverAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := newHub()
		w := New(testConfig(t, db))
		a := &answers{start: time.Now(), answer: func(n int) *http.Response {
			h := http.Header{}
			switch n {
			case 1:
				h.Set("Retry-After", "600")
			case 2:
				h.Set("Retry-After", time.Now().Add(1000*time.Hour).UTC().Format(http.TimeFormat))
			default:
				return &http.Response{StatusCode: http.StatusOK}
			}
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: h}
		}}
		w.client = &http.Client{Transport: a}
		stop := sendOnly(t, w, add(t, w, "https://example.com/", "a.done"))
		<-time.After(100 * time.Hour)
		stop()
		if len(a.at) != 3 || (a.at[1]-a.at[0]).Round(time.Second) != 10*time.Minute ||
			(a.at[2]-a.at[1]).Round(time.Second) != maxRetryAfter {
			t.Errorf("attempts at %v", a.at)
		}
	})
}

// TestFollower_waitsWhileTooManyArePending keeps the store small while a receiver is away for long.
func TestFollower_waitsWhileTooManyArePending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := newHub()
		c := testConfig(t, db)
		c.Schedule = []time.Duration{time.Hour}
		w := New(c)
		var status atomic.Int64
		status.Store(http.StatusServiceUnavailable)
		a := &answers{start: time.Now(), answer: func(int) *http.Response { return &http.Response{StatusCode: int(status.Load())} }}
		w.client = &http.Client{Transport: a}
		e := add(t, w, "https://example.com/", "a.done")
		stop := running(t, w)
		const total = 1200
		for n := range total {
			emit(t, db, "a.done", n)
		}
		<-time.After(10 * time.Minute)
		n, err := w.count(t.Context(), e.ID, Pending)
		if err != nil || n < maxPending || n > maxPending+100 {
			t.Errorf("%d pending, %v", n, err)
		}
		if lag := w.lag(); lag != total {
			t.Errorf("lag %v", lag)
		}
		status.Store(http.StatusOK)
		<-time.After(2 * time.Hour)
		if n, err := w.count(t.Context(), e.ID, Delivered); err != nil || n != maxSettled {
			t.Errorf("%d delivered are kept, %v", n, err)
		}
		if lag := w.lag(); lag != 0 {
			t.Errorf("lag %v at the end", lag)
		}
		stop()
	})
}

// TestDelivery_asksWhetherTheOwnerMayReadIt is decision 54: when not, one event and one audit
// entry, and nothing is sent.
func TestDelivery_asksWhetherTheOwnerMayReadIt(t *testing.T) {
	t.Parallel()
	db := newHub()
	c := testConfig(t, db)
	var may atomic.Bool
	var asked atomic.Int64
	may.Store(true)
	c.Allowed = func(_ context.Context, maker Maker, m Message) (string, error) {
		if maker.ID != "u1" || m.Event != "a.done" || !strings.Contains(string(m.Data), `"n":`) {
			t.Errorf("asked for %+v about %+v", maker, m)
		}
		if asked.Add(1) == 1 {
			return "", errors.New("not known yet")
		}
		if may.Load() {
			return "", nil
		}
		return "his account is disabled", nil
	}
	c.Announce = func(tx *store.Tx, n News) error {
		if n.Occurrence == Halted {
			tx.Append("events", []byte(`{"paused":"`+n.Endpoint+`"}`))
		}
		return nil
	}
	w := New(c)
	r := receive(t, ok)
	e := add(t, w, r.URL, "a.done")
	running(t, w)
	emit(t, db, "a.done", 1)
	stage(t, w, e.ID, Delivered, 1)
	may.Store(false)
	emit(t, db, "a.done", 2)
	until(t, "paused", func() bool { now, err := w.Get(t.Context(), e.ID); return err == nil && now.Condition == Paused })
	if now, _ := w.Get(t.Context(), e.ID); !strings.Contains(now.Reason, "disabled") {
		t.Errorf("%+v", now)
	}
	page, err := db.Read(t.Context(), "events", 2, 10)
	if err != nil || len(page.Entries) != 1 || !strings.Contains(string(page.Entries[0].Body), e.ID) {
		t.Errorf("%+v %v", page, err)
	}
	if n := actions(t, db); n["webhook.pause"] != 1 {
		t.Errorf("%v", n)
	}
	may.Store(true)
	if err := w.Resume(t.Context(), e.ID, yes); err != nil {
		t.Fatal(err)
	}
	if all := r.wait(t, 2); len(all) != 2 || all[1].Data.N != 2 {
		t.Errorf("%+v", all)
	}
}

// TestDelivery_deadLetterIsToldOnceAndMeasured: what is given up has one entry of the stream, which
// holds no URL, and is counted; what is taken has its lag, and a redelivery has none.
func TestDelivery_deadLetterIsToldOnceAndMeasured(t *testing.T) {
	t.Parallel()
	db := newHub()
	c := testConfig(t, db)
	c.Announce = func(tx *store.Tx, n News) error {
		if n.Occurrence == GaveUp {
			tx.Append("events", fmt.Appendf(nil, "%+v", n))
		}
		return nil
	}
	w := New(c)
	metrics := obs.NewRegistry()
	w.Meter(metrics, "test")
	r := receive(t, func(n int, _ got) int { return []int{http.StatusNotFound, http.StatusOK, http.StatusOK}[n-1] })
	e := add(t, w, r.URL, "a.done")
	running(t, w)
	emit(t, db, "a.done", 1)
	dead := stage(t, w, e.ID, Dead, 1)[0]
	if _, err := redeliver(t, w, e.ID, dead.ID); err != nil {
		t.Fatal(err)
	}
	stage(t, w, e.ID, Delivered, 1)
	emit(t, db, "a.done", 2)
	stage(t, w, e.ID, Delivered, 2)
	page, err := db.Read(t.Context(), "events", 1, 10)
	if err != nil || len(page.Entries) != 2 {
		t.Fatalf("%+v %v", page, err)
	}
	told := string(page.Entries[0].Body)
	if !strings.Contains(told, dead.ID) || !strings.Contains(told, "a.done") || !strings.Contains(told, "404") ||
		strings.Contains(told, r.URL) {
		t.Errorf("%s", told)
	}
	shown := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(shown, httptest.NewRequest(http.MethodGet, "/", nil))
	for _, line := range []string{"test_webhook_dead_letters_total 1\n", "test_webhook_delivery_lag_seconds_count 1\n"} {
		if !strings.Contains(shown.Body.String(), line) {
			t.Errorf("no %q in %s", line, shown.Body)
		}
	}
}

// TestWebhooks_offSendsNothingAndTakesNoWork: what would be sent is refused, the rest works.
func TestWebhooks_offSendsNothingAndTakesNoWork(t *testing.T) {
	t.Parallel()
	db := newHub()
	e := add(t, New(testConfig(t, db)), "https://example.com/", "a.done")
	c := testConfig(t, db)
	c.Off = true
	w := New(c)
	running(t, w)
	url := "https://example.com/2"
	_, _, made := w.Create(t.Context(), id.New(), Maker{ID: "u1"}, Input{URL: &url, Events: []string{"a.done"}})
	_, tested := test(t, w, e.ID)
	_, again := redeliver(t, w, e.ID, "x")
	_, ranged := redeliverRange(t, w, e.ID, Range{From: 1, To: 1})
	for _, err := range []error{made, tested, again, ranged, w.Resume(t.Context(), e.ID, yes)} {
		if !errors.Is(err, ErrDisabled) {
			t.Errorf("%v", err)
		}
	}
	if err := errors.Join(w.Pause(t.Context(), e.ID, ""), w.Delete(t.Context(), e.ID)); err != nil {
		t.Error(err)
	}
}

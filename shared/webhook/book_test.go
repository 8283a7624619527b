package webhook

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
)

func TestCreate_refusesWhatCannotBeSentTo(t *testing.T) {
	t.Parallel()
	w := New(testConfig(t, newHub()))
	url, private := "https://example.com/", "http://10.0.0.1/"
	long := strings.Repeat("x", maxDescription+1)
	for pointer, in := range map[string]Input{
		"/url":         {URL: &private, Events: []string{"a.done"}},
		"/events":      {URL: &url, Events: []string{"a.done", "c.done"}},
		"/description": {URL: &url, Events: []string{"a.done"}, Description: &long},
		"/secret":      {URL: &url, Events: []string{"a.done"}, Secret: secret.New("short")},
	} {
		_, _, err := w.Create(t.Context(), id.New(), Maker{ID: "u1"}, in)
		if f := fault.Of(err); f == nil || f.Kind != fault.Invalid || f.Fields[0].Pointer != pointer {
			t.Errorf("%s: %v", pointer, err)
		}
	}
	for _, in := range []Input{{Events: []string{"a.done"}}, {URL: &url},
		{URL: &url, Events: []string{"a.done"}, Secret: secret.New("whsec_this is no base64")},
		{URL: &url, Events: []string{"a.done"}, Secret: secret.New("whsec_dG9vIHNob3J0")},
		{URL: &url, Events: []string{"a.done"}, Secret: secret.New("a long text that is no secret of the standard")}} {
		if _, _, err := w.Create(t.Context(), id.New(), Maker{ID: "u1"}, in); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", in, err)
		}
	}
	for range MaxEndpoints {
		add(t, w, url, "a.done")
	}
	_, _, err := w.Create(t.Context(), id.New(), Maker{ID: "u1"}, Input{URL: &url, Events: []string{"a.done"}})
	if !errors.Is(err, ErrTooMany) {
		t.Errorf("%v", err)
	}
}

// TestSecrets_liveSealedAndRotateWithOverlap reads the stored document as a thief of the store
// would.
func TestSecrets_liveSealedAndRotateWithOverlap(t *testing.T) {
	t.Parallel()
	db := newHub()
	c := testConfig(t, db)
	now := time.Now()
	c.Now = func() time.Time { return now }
	w := New(c)
	url := "https://example.com/"
	e, first, err := w.Create(t.Context(), id.New(), Maker{ID: "u1"}, Input{URL: &url, Events: []string{"a.done"}})
	if err != nil || !strings.HasPrefix(first.Reveal(), secretPrefix) || len(key(first.Reveal())) != generated {
		t.Fatalf("%d bytes, %v", len(first.Reveal()), err)
	}
	second, err := w.Rotate(t.Context(), e.ID, Maker{ID: "u2"}, secret.Text{}, yes)
	if err != nil || second.Equal(first) {
		t.Fatal(err)
	}
	doc, err := db.Get(t.Context(), Endpoints.Key(e.ID))
	if err != nil || strings.Contains(string(doc.Body), secretPrefix) ||
		strings.Contains(string(doc.Body), first.Reveal()[len(secretPrefix):]) {
		t.Errorf("%s %v", doc.Body, err)
	}
	e, err = w.Get(t.Context(), e.ID)
	if err != nil || e.Owner != "u2" {
		t.Fatalf("%+v %v", e, err)
	}
	got, err := w.reveal(&e, now)
	if err != nil || len(got) != 2 || got[0] != second.Reveal() || got[1] != first.Reveal() {
		t.Errorf("%d valid secrets, %v", len(got), err)
	}
	if got, err = w.reveal(&e, now.Add(Overlap)); err != nil || len(got) != 1 || got[0] != second.Reveal() {
		t.Errorf("%d valid secrets after the overlap, %v", len(got), err)
	}
	moved := e
	moved.ID = "another"
	if _, err := w.reveal(&moved, now); err == nil {
		t.Error("the secret opens in another document")
	}
}

func TestRotate_receiversOfEitherSecretVerify(t *testing.T) {
	t.Parallel()
	db := newHub()
	w := New(testConfig(t, db))
	r := receive(t, ok)
	e := add(t, w, r.URL, "a.done")
	newest, err := w.Rotate(t.Context(), e.ID, Maker{ID: "u1"}, secret.Text{}, yes)
	if err != nil {
		t.Fatal(err)
	}
	running(t, w)
	emit(t, db, "a.done", 1)
	g := r.wait(t, 1)[0]
	for _, s := range []string{testSecret, newest.Reveal()} {
		if err := Verify([]string{s}, g.header, g.body, time.Now()); err != nil {
			t.Error(err)
		}
	}
	if err := VerifyBody([]string{newest.Reveal()}, g.body); err != nil {
		t.Error(err)
	}
}

func TestPause_keepsThePlaceAndResumeGoesOnThere(t *testing.T) {
	t.Parallel()
	db := newHub()
	w := New(testConfig(t, db))
	r := receive(t, ok)
	e := add(t, w, r.URL, "a.done")
	running(t, w)
	for range 2 {
		if err := w.Pause(t.Context(), e.ID, ""); err != nil {
			t.Fatal(err)
		}
	}
	emit(t, db, "a.done", 1, 2, 3)
	until(t, "stopped", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.senders) == 0 })
	if err := w.Resume(t.Context(), e.ID, yes); err != nil {
		t.Fatal(err)
	}
	r.wait(t, 3)
	url := r.URL + "/moved"
	in := Input{URL: &url, Events: []string{"b.done", "a.done", "b.done"}}
	if err := w.Update(t.Context(), e.ID, Maker{ID: "u2"}, in, yes); err != nil {
		t.Fatal(err)
	}
	emit(t, db, "b.done", 4)
	r.wait(t, 4)
	now, err := w.Get(t.Context(), e.ID)
	if err != nil || now.URL != url || now.Owner != "u2" || len(now.Events) != 2 || now.Description != "" {
		t.Errorf("%+v %v", now, err)
	}
	if n := actions(t, db); n["webhook.pause"] != 1 || n["webhook.resume"] != 1 || n["webhook.update"] != 1 || n["webhook.create"] != 1 {
		t.Errorf("%v", n)
	}
}

// TestDelete_leavesNothingBehind deletes while deliveries are made.
func TestDelete_leavesNothingBehind(t *testing.T) {
	t.Parallel()
	db := newHub()
	w := New(testConfig(t, db))
	r := receive(t, ok)
	stop := running(t, w)
	for round := range 10 {
		e := add(t, w, r.URL, "a.done")
		emit(t, db, "a.done", round, round, round)
		r.wait(t, round+1)
		if err := w.Delete(t.Context(), e.ID); err != nil {
			t.Fatal(err)
		}
		if err := w.Delete(t.Context(), e.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("twice: %v", err)
		}
	}
	stop()
	for _, kind := range []string{Endpoints.Kind, deliveryKind, feed.Cursors.Kind} {
		if page, err := db.List(t.Context(), store.Query{Kind: kind, Limit: 10}); err != nil || len(page.Docs) != 0 {
			t.Errorf("%s: %d documents are left, %v", kind, len(page.Docs), err)
		}
	}
}

func TestSweep_removesWhatADeleteThatDiedHasLeft(t *testing.T) {
	t.Parallel()
	db := newHub()
	w := New(testConfig(t, db))
	kept := add(t, w, "https://example.com/", "a.done")
	for _, endpoint := range []string{"0-gone", kept.ID, "z-gone"} {
		for seq := range uint64(3) {
			own, err := Deliveries.Write(newDelivery(endpoint, seq, Message{Event: "a.done", At: time.Now(), Data: []byte("{}")},
				time.Now()), store.Absent())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Commit(t.Context(), store.Batch{Writes: []store.Write{own}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows, _, err := Deliveries.List(t.Context(), db, store.Query{Limit: 10})
	if err != nil || len(rows) != 3 || rows[0].Value.Endpoint != kept.ID {
		t.Errorf("%d deliveries are left, %v", len(rows), err)
	}
}

// test returns what Test accepts.
func test(t *testing.T, w *Webhooks, endpoint string) (d Delivery, err error) {
	err = w.Test(t.Context(), endpoint, func(queued Delivery) { d = queued })
	return d, err
}

// redeliver returns what Redeliver accepts.
func redeliver(t *testing.T, w *Webhooks, endpoint, delivery string) (d Delivery, err error) {
	err = w.Redeliver(t.Context(), endpoint, delivery, func(queued Delivery) error { d = queued; return nil })
	return d, err
}

// redeliverRange returns what RedeliverRange accepts.
func redeliverRange(t *testing.T, w *Webhooks, endpoint string, r Range) (got Requeued, err error) {
	err = w.RedeliverRange(t.Context(), endpoint, r, func(queued Requeued) error { got = queued; return nil })
	return got, err
}

func TestTest_sendsOneThatSaysSo(t *testing.T) {
	t.Parallel()
	db := newHub()
	w := New(testConfig(t, db))
	r := receive(t, ok)
	e := add(t, w, r.URL, "a.done")
	running(t, w)
	d, err := test(t, w, e.ID)
	if err != nil {
		t.Fatal(err)
	}
	g := r.wait(t, 1)[0]
	if g.Event != TestEvent || g.id != d.ID || !strings.Contains(string(g.body), e.ID) {
		t.Errorf("%s", g.body)
	}
	if _, err := test(t, w, "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// TestRedeliver_oneOrARange keeps the ids, and reaches back before the endpoint was made.
func TestRedeliver_oneOrARange(t *testing.T) {
	t.Parallel()
	db := newHub()
	w := New(testConfig(t, db))
	emit(t, db, "a.done", 1, 2)
	status := http.StatusForbidden
	r := receive(t, func(int, got) int { return status })
	e := add(t, w, r.URL, "a.done")
	running(t, w)
	emit(t, db, "a.done", 3)
	emit(t, db, "b.done", 4)
	emit(t, db, "a.done", 5)
	dead := stage(t, w, e.ID, Dead, 2)
	first := r.wait(t, 2)
	status = http.StatusOK
	again, err := redeliver(t, w, e.ID, dead[1].ID)
	if err != nil || again.ID != dead[1].ID || again.Stage != Pending {
		t.Fatalf("%+v %v", again, err)
	}
	if g := r.wait(t, 3)[2]; g.id != first[0].id || g.Data.N != 3 {
		t.Errorf("%+v", g)
	}
	if d := stage(t, w, e.ID, Delivered, 1)[0]; len(d.Attempts) != 2 || d.Tries != 1 || d.Cause != "" {
		t.Errorf("%+v", d)
	}
	if got, err := redeliverRange(t, w, e.ID, Range{From: 1, To: 100, DeadOnly: true}); err != nil || got.Queued != 1 {
		t.Errorf("%+v %v", got, err)
	}
	stage(t, w, e.ID, Delivered, 2)
	if got, err := redeliverRange(t, w, e.ID, Range{From: 2, To: 4}); err != nil || got.Queued != 2 {
		t.Errorf("%+v %v", got, err)
	}
	stage(t, w, e.ID, Delivered, 3)
	all := r.wait(t, 6)
	if all[4].Data.N+all[5].Data.N != 5 { // 2, which it never got, and 3 again
		t.Errorf("%+v %+v", all[4], all[5])
	}
	if _, err := db.Commit(t.Context(), store.Batch{Trims: []store.Trim{{Stream: "events", Through: 1}}}); err != nil {
		t.Fatal(err)
	}
	for want, err := range map[error]error{
		ErrNotKept:    func() error { _, err := redeliverRange(t, w, e.ID, Range{From: 1, To: 1}); return err }(),
		ErrNotFound:   func() error { _, err := redeliverRange(t, w, "nobody", Range{From: 1, To: 1}); return err }(),
		ErrNoDelivery: func() error { _, err := redeliver(t, w, e.ID, "none"); return err }(),
	} {
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	for _, bad := range []Range{{}, {From: 2, To: 1}, {From: 1, To: MaxRange + 1}} {
		if _, err := redeliverRange(t, w, e.ID, bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestLost_namesWhatRetentionTook is decision 45: one dead letter names the lost range.
func TestLost_namesWhatRetentionTook(t *testing.T) {
	t.Parallel()
	db := newHub()
	w := New(testConfig(t, db))
	e := add(t, w, "https://example.com/", "a.done")
	emit(t, db, "a.done", 1, 2, 3)
	cursor, err := feed.Cursors.Get(t.Context(), db, Cursor(e.ID))
	if err != nil {
		t.Fatal(err)
	}
	writes, _, _, err := feed.MoveOn(t.Context(), db, cursor, 2, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Commit(t.Context(), store.Batch{Writes: writes, Trims: []store.Trim{{Stream: "events", Through: 2}}}); err != nil {
		t.Fatal(err)
	}
	lost, err := w.Lost(t.Context(), e.ID)
	if err != nil || len(lost) != 1 || lost[0].From != 1 || lost[0].To != 2 {
		t.Errorf("%+v %v", lost, err)
	}
}

// TestSync_makesTheConfigurationTrue restarts with other files; the place in the stream stays.
func TestSync_makesTheConfigurationTrue(t *testing.T) {
	t.Parallel()
	db := newHub()
	r, other := receive(t, ok), receive(t, ok)
	file := func(url string, events ...string) FileEndpoint {
		return FileEndpoint{URL: url, Events: events, Secret: secret.New(testSecret)}
	}
	w := New(testConfig(t, db))
	if err := w.Sync(t.Context(), []FileEndpoint{file(r.URL, "a.done"), file(other.URL, "a.done")}); err != nil {
		t.Fatal(err)
	}
	emit(t, db, "a.done", 1) // nobody runs
	made := add(t, w, other.URL, "b.done")
	w = New(testConfig(t, db))
	if err := w.Sync(t.Context(), []FileEndpoint{file(r.URL, "a.done", "b.done")}); err != nil {
		t.Fatal(err)
	}
	running(t, w)
	emit(t, db, "b.done", 2)
	all := r.wait(t, 2)
	if all[0].Data.N != 1 || all[1].Data.N != 2 || VerifyBody([]string{testSecret}, all[0].body) != nil {
		t.Errorf("%+v", all)
	}
	if g := other.wait(t, 1)[0]; g.Data.N != 2 {
		t.Errorf("%+v", g)
	}
	rows, _, err := Endpoints.List(t.Context(), db, store.Query{Limit: 10})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%+v %v", rows, err)
	}
	for _, row := range rows {
		e := row.Value
		if e.ID == made.ID {
			continue
		}
		if len(e.Secrets) != 0 {
			t.Error("the file's secret is stored")
		}
		_, rotated := w.Rotate(t.Context(), e.ID, Maker{ID: "u1"}, secret.Text{}, yes)
		updated := w.Update(t.Context(), e.ID, Maker{ID: "u1"}, Input{URL: &r.URL}, nil)
		for _, err := range []error{w.Delete(t.Context(), e.ID), updated, rotated} {
			if !errors.Is(err, ErrFromFile) {
				t.Errorf("%v", err)
			}
		}
	}
}

func TestMeter_countsAttemptsAndDeadLetters(t *testing.T) {
	t.Parallel()
	db := newHub()
	w := New(testConfig(t, db))
	reg := obs.NewRegistry()
	w.Meter(reg, "test")
	r := receive(t, func(n int, _ got) int { return []int{500, 200, 400}[n-1] })
	e := add(t, w, r.URL, "a.done")
	running(t, w)
	emit(t, db, "a.done", 1)
	stage(t, w, e.ID, Delivered, 1)
	emit(t, db, "a.done", 2)
	stage(t, w, e.ID, Dead, 1)
	want := []string{
		`test_webhook_attempts_total{outcome="delivered"} 1`, `test_webhook_attempts_total{outcome="failed"} 1`, `test_webhook_attempts_total{outcome="refused"} 1`,
		`test_webhook_dead_letters_total 1`, `test_webhook_endpoints_active 1`, `test_webhook_lag_events 0`,
	}
	until(t, strings.Join(want, ", "), func() bool {
		shown := &page{header: http.Header{}}
		reg.Handler().ServeHTTP(shown, &http.Request{Header: http.Header{}})
		for _, line := range want {
			if !strings.Contains(shown.String(), line+"\n") {
				return false
			}
		}
		return true
	})
}

type page struct {
	strings.Builder
	header http.Header
}

func (p *page) Header() http.Header { return p.header }
func (p *page) WriteHeader(int)     {}

func TestDelivery_bodyIsStoredWithoutSignature(t *testing.T) {
	t.Parallel()
	d := newDelivery("e", 7, Message{Event: "a.done", At: time.Unix(0, 0), Data: []byte(`{"n":1}`)}, time.Now())
	var p map[string]any
	if err := json.Unmarshal([]byte(d.Payload), &p); err != nil || len(p) != 3 {
		t.Errorf("%s %v", d.Payload, err)
	}
	if again := newDelivery("e", 7, Message{}, time.Now()); again.ID != d.ID || again.Key != d.Key {
		t.Error("the id of a delivery changes")
	}
}

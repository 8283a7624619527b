package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig"
)

// Figures of directory.
const (
	messageBatch = 100 // messages a request
	cycles       = 200 // of next and acknowledge, for a median
)

// directory fills the queue of a subscription with messages that nobody fetches, and holds what the
// first and the last thousand of them cost beside each other.
func directory(ctx context.Context, s *scale) (err error) {
	o := rig.Options{Bin: s.bin}
	if o.Dir, err = os.MkdirTemp(s.dir, "directory-"); err != nil {
		return err
	}
	admin, publisher, err := rig.Directory(&o)
	if err != nil {
		return err
	}
	r, err := rig.Prepare(ctx, o)
	if err != nil {
		return err
	}
	if err := r.ControlCenter.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	consumer := &client.Directory{Base: admin.Base, Username: "behind", Password: secret.New("of the consumer")}
	topics := []client.RealmTopic{{Realm: "udm", Topic: "users/user"}}
	if err := admin.Subscribe(ctx, client.NewSubscription{Name: "behind", Password: "of the consumer", Topics: topics}); err != nil {
		return err
	}
	few := 2 * cycles
	if err := publishMany(ctx, publisher, 0, few); err != nil {
		return err
	}
	before, err := middleCycle(ctx, consumer, 1)
	if err != nil {
		return err
	}
	if err := publishMany(ctx, publisher, few, 20_000); err != nil { // caches of the store have their size then
		return err
	}
	small, err := residentOf(r.ControlCenter.PID())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := publishMany(ctx, publisher, 20_000, s.messages); err != nil {
		return err
	}
	s.print("directory_publish", float64(s.messages-20_000)/time.Since(began).Seconds(), "messages/s", 0)
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) { // the last ones are on their way into the lists
		q, err := admin.Queue(ctx, "behind")
		if err != nil {
			return err
		}
		want := uint64(s.messages - cycles)
		if q.Waiting == want && q.Number == cycles+1 {
			break
		}
		if time.Since(began) > 10*time.Second {
			return wrong("%d messages wait from number %d; want %d", q.Waiting, q.Number, want)
		}
	}
	after, err := middleCycle(ctx, consumer, cycles+1)
	if err != nil {
		return err
	}
	large, err := residentOf(r.ControlCenter.PID())
	if err != nil {
		return err
	}
	s.print("directory_cycle_few_waiting", ms(before), "ms", 0)
	s.print("directory_cycle_all_waiting", ms(after), "ms", max(5, 3*ms(before)))
	s.print("directory_rss_20000_waiting", small, "MiB", 0)
	s.print("directory_rss_all_waiting", large, "MiB", small+128)
	return nil
}

// publishMany publishes the messages from, up to number to.
func publishMany(ctx context.Context, publisher *client.Directory, from, to int) error {
	for ; from < to; from += messageBatch {
		var body bytes.Buffer
		body.WriteString(`{"messages":[`)
		for i := from; i < min(from+messageBatch, to); i++ {
			if i > from {
				body.WriteByte(',')
			}
			fmt.Fprintf(&body, `{"publisher_name":"udm-listener","ts":"2026-01-01T00:00:00","realm":"udm","topic":"users/user",`+
				`"body":{"old":{},"new":{"objectType":"users/user","dn":"uid=u%d,cn=users,dc=example","id":"%d","x":%q}}}`,
				i%5000, i+1, strings.Repeat("x", 300))
		}
		body.WriteString("]}")
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, publisher.Base+"/v1/messages/batch", &body)
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.SetBasicAuth(publisher.Username, publisher.Password.Reveal())
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			return wrong("a batch is answered %s", resp.Status)
		}
	}
	return nil
}

// middleCycle fetches and acknowledges messages from number on and returns the median of their
// times.
func middleCycle(ctx context.Context, consumer *client.Directory, number uint64) (time.Duration, error) {
	took := make([]time.Duration, cycles)
	for i := range took {
		began := time.Now()
		e, reason, err := consumer.Next(ctx, 10*time.Second)
		if err != nil {
			return 0, err
		}
		if e == nil || e.Sequence != number+uint64(i) || !strings.Contains(string(e.Body.New), fmt.Sprintf(`"id":"%d"`, e.Sequence)) {
			return 0, wrong("delivered %+v (%s) instead of number %d", e, reason, number+uint64(i))
		}
		if err := consumer.Acknowledge(ctx, e.Sequence); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[cycles/2], nil
}

// residentOf returns the memory of a process now, in MiB.
func residentOf(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kib); err == nil {
			return kib / 1024, nil
		}
	}
	return 0, fmt.Errorf("process %d says nothing of its memory", pid)
}

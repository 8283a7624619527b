package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig"
)

// directoryCounts are how many subscriptions want what is published.
var directoryCounts = []int{1, 10, 1000}

// directoryFigures returns the names of the figures of the Provisioning API.
func directoryFigures() (names []string) {
	for _, n := range directoryCounts {
		for _, stem := range []string{"publish", "cycle", "wake_p50", "wake_p99"} {
			names = append(names, fmt.Sprintf("directory_%s_%d", stem, n))
		}
		names = append(names, fmt.Sprintf("directory_publish_%d_beside_store", n))
	}
	return names
}

// directory measures publishing over 64 connections, get and acknowledge of one consumer after the
// other, and the time from a publish to the poll that waits for it, while more and more
// subscriptions want the same topic.
func (b *bench) directory(ctx context.Context) (err error) {
	o := rig.Options{Bin: b.bin, Dir: filepath.Join(b.dir, "directory")}
	if err := os.Mkdir(o.Dir, 0o700); err != nil {
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
	echo, stop, err := startEcho(ctx)
	if err != nil {
		return err
	}
	defer stop()
	there := 0
	for _, n := range directoryCounts {
		if err := subscribeMany(ctx, admin, there, n); err != nil {
			return err
		}
		there = n
		if err := b.directoryWith(ctx, echo, publisher, n); err != nil {
			return fmt.Errorf("with %d subscriptions: %w", n, err)
		}
	}
	return nil
}

// subscribeMany makes the subscriptions from, up to number to.
func subscribeMany(ctx context.Context, admin *client.Directory, from, to int) error {
	var all sync.WaitGroup
	failed := make(chan error, to)
	slots := make(chan struct{}, 4)
	for i := from; i < to; i++ {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			failed <- admin.Subscribe(ctx, client.NewSubscription{Name: fmt.Sprint("s", i), Password: "p",
				Topics: []client.RealmTopic{{Realm: "udm", Topic: "users/user"}}})
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// directoryBody is what is published: about 600 bytes.
var directoryBody = fmt.Sprintf(`{"publisher_name":"udm-listener","ts":"2026-01-01T00:00:00","realm":"udm","topic":"users/user",`+
	`"body":{"old":{},"new":{"objectType":"users/user","dn":"uid=dana,cn=users,dc=example","x":%q}}}`, strings.Repeat("x", 400))

// request returns an HTTP request as bytes, with the user of d.
func directoryRequest(d *client.Directory, method, path, body string) []byte {
	pair := base64.StdEncoding.EncodeToString([]byte(d.Username + ":" + d.Password.Reveal()))
	return fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic %s\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n%s", method, path, pair, len(body), body)
}

func (b *bench) directoryWith(ctx context.Context, echo string, publisher *client.Directory, n int) error {
	address := strings.TrimPrefix(publisher.Base, "http://")
	post := directoryRequest(publisher, "POST", "/v1/messages", directoryBody)
	var ours, limit, stores, turns, wakes []float64
	consumer := &client.Directory{Base: publisher.Base, Username: "s0", Password: secret.New("p")}
	for range b.turns() {
		for _, side := range []struct {
			address string
			rates   *[]float64
		}{{echo, &limit}, {address, &ours}} {
			rate, err := b.hammer(ctx, side.address, post)
			if err != nil {
				return err
			}
			*side.rates = append(*side.rates, rate)
		}
		got, err := b.gobench(ctx, "./shared/store/pebblestore", "^BenchmarkCommit$/^pebble-16$", "300ms", "100ms")
		if err != nil {
			return err
		}
		commits, err := got.of(read{"Commit/pebble-16", "commits/s"})
		if err != nil {
			return err
		}
		stores = append(stores, commits)
		rate, err := directoryCycles(ctx, consumer)
		if err != nil {
			return err
		}
		turns = append(turns, rate)
	}
	waker := &client.Directory{Base: publisher.Base, Username: "s0", Password: consumer.Password}
	wakes, err := directoryWakes(ctx, publisher, waker, 40*b.turns())
	if err != nil {
		return err
	}
	name := func(stem string) string { return fmt.Sprintf("directory_%s_%d", stem, n) }
	for _, l := range [][2]value{
		{{name("publish"), median(ours), "messages/s"}, {"echo_post", median(limit), ""}},
		{{name("publish") + "_beside_store", median(ours), "messages/s"}, {"pebble_16", median(stores), ""}},
		{{name("cycle"), median(turns), "messages/s"}, {}},
		{{name("wake_p50"), wakes[len(wakes)/2], "ms"}, {}}, {{name("wake_p99"), wakes[len(wakes)*99/100], "ms"}, {}},
	} {
		if err := b.print(l[0], l[1]); err != nil {
			return err
		}
	}
	return nil
}

// directoryCycles fetches and acknowledges for a second and returns how often a second.
func directoryCycles(ctx context.Context, consumer *client.Directory) (float64, error) {
	began, n := time.Now(), 0
	for time.Since(began) < time.Second {
		e, reason, err := consumer.Next(ctx, time.Second)
		if err != nil {
			return 0, err
		}
		if e == nil {
			if reason == "empty" {
				break
			}
			continue
		}
		if err := consumer.Acknowledge(ctx, e.Sequence); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// directoryWakes returns how long it takes from a publish to the answer of the poll that waits, in
// ms, sorted, with a subscription that nothing waits for.
func directoryWakes(ctx context.Context, publisher, consumer *client.Directory, n int) ([]float64, error) {
	realm := fmt.Sprint("wake-", time.Now().UnixNano())
	admin := *publisher
	admin.Username, admin.Password = "admin", secret.New("of the administrator")
	consumer.Username = realm
	topics := []client.RealmTopic{{Realm: realm, Topic: "x"}}
	if err := admin.Subscribe(ctx, client.NewSubscription{Name: realm, Password: "p", Topics: topics}); err != nil {
		return nil, err
	}
	var took []float64
	for range n {
		type answer struct {
			e   *client.DirectoryEvent
			at  time.Time
			err error
		}
		ended := make(chan answer, 1)
		go func() {
			e, _, err := consumer.Next(ctx, 10*time.Second)
			ended <- answer{e, time.Now(), err}
		}()
		time.Sleep(10 * time.Millisecond) // the poll waits then
		began := time.Now()
		err := publisher.Publish(ctx, client.DirectoryEvent{Publisher: "udm-listener", Timestamp: "2026-01-01T00:00:00", Realm: realm,
			Topic: "x", Body: client.DirectoryDelta{Old: []byte("{}"), New: []byte(`{"objectType":"x"}`)}})
		a := <-ended
		if err = errors.Join(err, a.err); err != nil {
			return nil, err
		}
		if a.e == nil {
			return nil, errors.New("a poll was not woken")
		}
		took = append(took, float64(a.at.Sub(began).Microseconds())/1000)
		if err := consumer.Acknowledge(ctx, a.e.Sequence); err != nil {
			return nil, err
		}
	}
	slices.Sort(took)
	return took, nil
}

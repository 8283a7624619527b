package process

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/transport"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func plain(addresses ...string) []transport.Address {
	return transport.TLSSettings{}.Addresses(addresses)
}

// story notes what happened in which order.
type story struct {
	mu    sync.Mutex
	lines []string
}

func (s *story) add(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
}

// TestRun_stopsInOrderAndFinishesRunningRequests is R01 for the order: drain first, then the
// running request, the sockets and the engine.
func TestRun_stopsInOrderAndFinishesRunningRequests(t *testing.T) {
	t.Parallel()
	ls, err := openListeners(t.Context(), plain("127.0.0.1:0", "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	var told story
	entered, release := make(chan struct{}), make(chan struct{})
	part := func(name string) Component {
		return Component{Name: name, Run: func(ctx context.Context) error {
			<-ctx.Done()
			told.add(name)
			return ctx.Err()
		}}
	}
	out, done := &lines{seen: make(chan string, 4)}, make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		done <- run(ctx, Built{
			Log: discard(), Stdout: out, Listeners: ls,
			Server: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				close(entered)
				<-release
				told.add("answered")
				_, _ = io.WriteString(w, "late")
			})},
			Drain:      func() { told.add("drain"); close(release) },
			Components: []Component{part("sockets"), part("engine")},
			Close:      func() error { told.add("store"); return nil },
		})
	}()
	for i := range 2 {
		if got, want := <-out.seen, "listening http://"+ls[i].Addr().String()+"\n"; got != want {
			t.Errorf("announced %q, want %q", got, want)
		}
	}
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + ls[0].Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answer <- string(b)
	}()
	<-entered
	cancel()
	if err := <-done; err != nil {
		t.Fatalf("orderly end: %v", err)
	}
	if got := <-answer; got != "late" {
		t.Errorf("running request got %q", got)
	}
	if got := strings.Join(told.lines, " "); got != "drain answered sockets engine store" {
		t.Errorf("order: %s", got)
	}
}

func TestRun_failsWhenAComponentFails(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]func(context.Context) error{
		"boom":            func(context.Context) error { return errors.New("boom") },
		"ended by itself": func(context.Context) error { return nil },
	} {
		closed := false
		err := run(t.Context(), Built{
			Log: discard(), Stdout: io.Discard, Components: []Component{{Name: "engine", Run: part}},
			Close: func() error { closed = true; return nil },
		})
		if err == nil || !strings.Contains(err.Error(), "engine: "+name) || !closed {
			t.Errorf("%s: %v, closed %v", name, err, closed)
		}
	}
}

func TestRun_saysWhatDoesNotStop(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stuck := make(chan struct{})
	defer close(stuck)
	err := run(ctx, Built{
		Log: discard(), Stdout: io.Discard, Grace: 20 * time.Millisecond,
		Components: []Component{{Name: "engine", Run: func(context.Context) error { <-stuck; return nil }}},
	})
	if err == nil || !strings.Contains(err.Error(), "engine did not stop") {
		t.Errorf("got %v", err)
	}
}

func TestRun_announcesNothingBeforeReady(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	err := run(ctx, Built{Log: discard(), Stdout: &out, Ready: func(ready context.Context) error {
		cancel()
		<-ready.Done()
		return ready.Err()
	}})
	if err != nil || out.Len() > 0 {
		t.Errorf("error %v, printed %q", err, out.String())
	}
}

func TestListen_localhostIsEveryLoopbackAddressOnOnePort(t *testing.T) {
	t.Parallel()
	ls, err := openListeners(t.Context(), plain("localhost:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, l := range ls {
			_ = l.Close()
		}
	}()
	port := ls[0].Addr().(*net.TCPAddr).Port
	for _, l := range ls {
		a := l.Addr().(*net.TCPAddr)
		if !a.IP.IsLoopback() || a.Port != port {
			t.Errorf("listens on %s", a)
		}
	}
}

func TestListen_namesATakenAddressAndKeepsNothingOpen(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = openListeners(t.Context(), plain("127.0.0.1:0", taken.Addr().String()))
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) || !strings.Contains(err.Error(), "already in use") {
		t.Errorf("got %v", err)
	}
	if _, err := openListeners(t.Context(), plain("nonsense")); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("nonsense: %v", err)
	}
}

// Not parallel: signals reach the whole process.
// It is R01 for the second SIGTERM.
func TestSignals_firstStopsSecondExits(t *testing.T) {
	exit := make(chan int, 1)
	ctx, stop := signals(t.Context(), discard(), func(code int) { exit <- code })
	defer stop()
	send := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	send()
	<-ctx.Done()
	send()
	if code := <-exit; code != 1 {
		t.Errorf("exit %d", code)
	}
}

// lines hands on every write.
type lines struct{ seen chan string }

func (l *lines) Write(b []byte) (int, error) { l.seen <- string(b); return len(b), nil }

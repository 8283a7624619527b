// Package process runs a service: its store, its audit log, its server, its listeners, its
// components in order, and its end. A component is whatever lives long; it has Run(ctx) and nothing
// else. The package owns signals, standby, the order of shutdown and the time it may take, and how
// the garbage collector is set; it knows no route and no noun of either product.
//
// The one rule a caller must know: a component that returns before its context ends stops the whole
// program, with its error; half a program is not kept alive.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// Component is something that lives long. Run returns when ctx ends; nil or the context's error
// then.
type Component struct {
	Name string
	Run  func(ctx context.Context) error
}

// Built is a service that is built and does not run yet.
type Built struct {
	Log       *slog.Logger
	Stdout    io.Writer // gets the lines "listening http://…" when ready
	Listeners []Listener
	Server    *http.Server
	Doors     []<-chan []string // each gets the URLs of a further server, whose lines come behind those of Listeners
	// Peer serves the service-to-service port at PeerListeners; both nil: there is none.
	Peer          *http.Server
	PeerListeners []Listener
	// Drain makes new requests refusals; it is called first when the program ends.
	Drain func()
	// Ready returns when the program can serve; the listening lines come then. nil is ready at
	// once. The server answers before (health says 503).
	Ready func(ctx context.Context) error
	// Components are started together and stopped in this order, each one's Run having returned
	// before the next one's context ends: edge first (sockets), then the engine, then followers.
	Components []Component
	// Close is called last: the store.
	Close func() error
	Grace time.Duration // for all of the end; 0 means 25 s
}

const (
	defaultGrace = 25 * time.Second // the operator's contract says 30 for everything
	drainShare   = 2                // at most this part (1/n) of the grace is for running requests
)

// signals returns a context that ends with the first SIGTERM or SIGINT. A second one calls exit
// with 1 at once. Call stop when the program is over.
func signals(parent context.Context, log *slog.Logger, exit func(int)) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case sig := <-ch:
				if n > 0 {
					log.Warn("second signal: exit at once", "signal", sig.String())
					exit(1)
					return
				}
				log.Info("stopping", "signal", sig.String())
				cancel()
			}
		}
	}()
	return ctx, func() {
		signal.Stop(ch)
		close(done)
		cancel()
	}
}

// run runs the program until ctx ends or a part of it fails, then ends it in order: readiness off,
// listeners closed, running requests finished, components stopped, store closed. It returns nil for
// an orderly end.
func run(ctx context.Context, p Built) error {
	if p.Grace == 0 {
		p.Grace = defaultGrace
	}
	defer tendMemory()()
	defer addProcessor()()
	r := &runner{Built: p, failed: make(chan error, len(p.Components)+len(p.Listeners)+len(p.PeerListeners)+1)}
	r.start(ctx)
	var cause error
	select {
	case <-ctx.Done():
	case cause = <-r.failed:
		p.Log.Error("a part of the program failed", "error", cause)
	}
	return errors.Join(cause, r.stop())
}

// runner is a running program.
type runner struct {
	Built
	failed  chan error
	ready   context.CancelFunc
	running []stoppable
	serving errgroup.Group
}

// stoppable is a started component.
type stoppable struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
}

func (r *runner) start(ctx context.Context) {
	base := context.WithoutCancel(ctx) // components end when they are told to, not all at once
	for _, c := range r.Components {
		cctx, cancel := context.WithCancel(base)
		s := stoppable{name: c.Name, cancel: cancel, done: make(chan struct{})}
		r.running = append(r.running, s)
		go func() {
			defer close(s.done)
			err := c.Run(cctx)
			if cctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
				return
			}
			if err == nil {
				err = errors.New("ended by itself")
			}
			r.failed <- fmt.Errorf("%s: %w", c.Name, err)
		}()
	}
	r.serve(r.Server, r.Listeners)
	r.serve(r.Peer, r.PeerListeners)
	ready, cancel := context.WithCancel(ctx)
	r.ready = cancel
	r.serving.Go(func() error { r.announce(ready); return nil })
}

// serve serves on listeners until the server is shut down.
func (r *runner) serve(s *http.Server, on []Listener) {
	for _, l := range on {
		r.serving.Go(func() error {
			if err := l.serve(s); !errors.Is(err, http.ErrServerClosed) {
				r.failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
}

// announce waits until the program can serve and prints where.
func (r *runner) announce(ctx context.Context) {
	if r.Ready != nil {
		if err := r.Ready(ctx); err != nil {
			if ctx.Err() == nil {
				r.failed <- fmt.Errorf("become ready: %w", err)
			}
			return
		}
	}
	for _, l := range r.PeerListeners {
		_, _ = fmt.Fprintf(r.Stdout, "peer %s\n", l.URL())
	}
	for _, l := range r.Listeners {
		_, _ = fmt.Fprintf(r.Stdout, "listening %s\n", l.URL())
	}
	for _, open := range r.Doors {
		select {
		case urls := <-open:
			for _, u := range urls {
				_, _ = fmt.Fprintf(r.Stdout, "listening %s\n", u)
			}
		case <-ctx.Done():
			return
		}
	}
}

// stop ends everything in order, within the grace.
func (r *runner) stop() error {
	end, cancel := context.WithTimeout(context.Background(), r.Grace)
	defer cancel()
	r.ready()
	if r.Drain != nil {
		r.Drain()
	}
	var errs []error
	requests, ended := context.WithTimeout(end, r.Grace/drainShare)
	for _, s := range []*http.Server{r.Server, r.Peer} {
		if s == nil {
			continue
		}
		if err := s.Shutdown(requests); err != nil {
			r.Log.Warn("requests cut off", "error", err)
			_ = s.Close()
		}
	}
	ended()
	_ = r.serving.Wait()
	for _, s := range r.running {
		s.cancel()
		select {
		case <-s.done:
		case <-end.Done():
			errs = append(errs, fmt.Errorf("%s did not stop within %s", s.name, r.Grace))
		}
	}
	for len(r.failed) > 0 { // what failed while it was stopped
		errs = append(errs, <-r.failed)
	}
	if r.Close != nil {
		if err := r.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close: %w", err))
		}
	}
	return errors.Join(errs...)
}

package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/provisioning-platform/platform/shared/web"
)

// Door is a further HTTP server of a service, with addresses and routes of its own.
type Door struct {
	Name   string     // in log lines and errors
	Listen []string   // none: the door stays shut
	Web    web.Config // as of Parts; its requests are in no HTTP metrics
	// Wrap returns the handler that hands requests on to the routes; nil hands them on as they are.
	Wrap func(http.Handler) http.Handler
}

// doorGrace is how long the requests of a door may go on when the program ends.
const doorGrace = 5 * time.Second

// door returns the component that serves d. It sends the URLs of its listeners to open.
func (s *Service) door(b *Base, d Door, open chan<- []string) (Component, error) {
	d.Web.Metrics = nil
	server, err := s.server(b, d.Web)
	if err != nil {
		return Component{}, fmt.Errorf("%s: %w", d.Name, err)
	}
	h := server.HTTP()
	if d.Wrap != nil {
		h.Handler = d.Wrap(h.Handler)
	}
	if s.certificate != nil {
		h.TLSConfig = s.certificate.Server()
	}
	return Component{Name: d.Name, Run: func(ctx context.Context) error {
		listeners, err := openListeners(ctx, s.TLS.Beside(d.Listen))
		if err != nil {
			return err
		}
		var serving errgroup.Group
		var urls []string
		for _, l := range listeners {
			urls = append(urls, l.URL()+" ("+d.Name+")")
			serving.Go(func() error {
				if err := l.serve(h); !errors.Is(err, http.ErrServerClosed) {
					return fmt.Errorf("serve %s: %w", l.Addr(), err)
				}
				return nil
			})
		}
		open <- urls
		serving.Go(func() error { return server.Run(ctx) })
		failed := make(chan error, 1)
		go func() { failed <- serving.Wait() }()
		select {
		case err = <-failed:
			return err
		case <-ctx.Done():
		}
		server.Drain()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), doorGrace)
		defer cancel()
		if h.Shutdown(end) != nil {
			_ = h.Close()
		}
		return <-failed
	}}, nil
}

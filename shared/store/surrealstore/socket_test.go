package surrealstore

import (
	"context"
	"errors"
	"net/url"
	"runtime"
	"testing"
	"weak"
)

// TestSocket_brokenConnectionsAreNotKeptInMemory breaks connections while the store they belong to
// lives on.
func TestSocket_brokenConnectionsAreNotKeptInMemory(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var left []weak.Pointer[socket]
	for i := range 10 {
		s := newSocket(&url.URL{Scheme: "ws", Host: "127.0.0.1:1"})
		if i%2 == 0 { // one that breaks before it is taken into use
			s.end(errors.New("broken"))
		}
		s.endWith(ctx)
		s.end(errors.New("broken"))
		left = append(left, weak.Make(s))
	}
	runtime.GC()
	for i, p := range left {
		if p.Value() != nil {
			t.Errorf("socket %d is still held", i)
		}
	}
}

package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web/ratelimit"
)

// BenchmarkEcho compares a GET through the whole pipeline (authentication, decision, limits,
// metrics; log off) with a bare net/http handler of the same answer, over loopback, 32 connections.
func BenchmarkEcho(b *testing.B) {
	const answer = `{"success":true,"data":{"id":"x","note":"hello"}}`
	type out struct {
		ID   string `json:"id"`
		Note string `json:"note"`
	}
	limits := ratelimit.Default()
	limits.General = 1 << 40
	s, err := NewServer(Config{
		Service: "bench", Log: obs.Discard(), Metrics: obs.NewRegistry(), RateLimits: limits,
		Authenticate: func(context.Context, string, *http.Request) (token.Claims, error) {
			return token.Claims{Kind: token.Access, Subject: "alice"}, nil
		},
		Decide: func(authz.Request) authz.Decision { return authz.Decision{Allowed: true} },
		Known:  func(string, string) bool { return true },
		Routes: []Route{{Method: "GET", Path: "/echo/:id", Op: "echo", Permission: Allow("read", "things"),
			Handle: To(func(_ context.Context, in byID) (out, error) { return out{ID: in.ID, Note: "hello"}, nil })}},
	})
	if err != nil {
		b.Fatal(err)
	}
	bare := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = io.WriteString(w, answer)
	})}
	for name, srv := range map[string]*http.Server{"bare": bare, "web": s.HTTP()} {
		b.Run(name, func(b *testing.B) { hammer(b, srv) })
	}
}

// hammer sends b.N requests over 32 connections with a client that costs next to nothing.
func hammer(b *testing.B, srv *http.Server) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	defer l.Close()
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		request := []byte("GET /echo/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer alice\r\nAccept: */*\r\n\r\n")
		for pb.Next() {
			if _, err := conn.Write(request); err != nil {
				b.Error(err)
				return
			}
			if err := skipAnswer(in); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// skipAnswer reads one answer with a Content-Length.
func skipAnswer(in *bufio.Reader) error {
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if n := len("Content-Length: "); len(line) > n && string(line[:n]) == "Content-Length: " {
			if length, err = strconv.Atoi(string(line[n : len(line)-2])); err != nil {
				return err
			}
		}
	}
	if length == 0 {
		return fmt.Errorf("no length")
	}
	_, err := in.Discard(length)
	return err
}

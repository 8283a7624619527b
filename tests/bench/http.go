package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/tests/rig"
)

// connections is how many callers an HTTP figure has.
const connections = 64

// serveEcho is the least HTTP server with the standard library that reads and writes JSON; it
// prints its address and ends with its standard input.
func serveEcho() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(l.Addr())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := map[string]any{"id": "x", "note": "hello"}
		if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&in) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		out, err := json.Marshal(map[string]any{"success": true, "data": in})
		if err != nil {
			panic(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(out)))
		_, _ = w.Write(out)
	}))
}

// startEcho runs serveEcho in a process of its own, until stop.
func startEcho(ctx context.Context) (address string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	echo := exec.CommandContext(ctx, self, "-echo")
	in, err := echo.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := echo.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := echo.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { _ = in.Close(); _ = echo.Wait() }
	if address, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		stop()
		return "", nil, err
	}
	return strings.TrimSpace(address), stop, nil
}

// http measures a read and a durable write of the orchestrator beside the echo, turn by turn.
func (b *bench) http(ctx context.Context, r *rig.Rig) error {
	address, stop, err := startEcho(ctx)
	if err != nil {
		return err
	}
	defer stop()
	orchestrator := strings.TrimPrefix(r.Orchestrator.Address, "http://")
	for _, f := range []struct{ name, method, path, body string }{
		{"http_post_checkpoint", "POST", "/rollback/checkpoints", `{"name":"before_the_change","description":"of a benchmark"}`},
		{"http_get_tasks", "GET", "/tasks?limit=1", ""},
	} {
		request := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nContent-Type: "+
			"application/json\r\nContent-Length: %d\r\n\r\n%s",
			f.method, f.path, r.Token.Reveal(), len(f.body), f.body)
		if f.method == "GET" { // something to read
			if _, _, err := (job{name: "read", provider: "noop", batches: 1, inFlight: 1, graph: ten()}).run(ctx, r, 0); err != nil {
				return err
			}
		}
		var ours, limit []float64
		for range b.turns() {
			for _, side := range []struct {
				address string
				rates   *[]float64
			}{{address, &limit}, {orchestrator, &ours}} {
				rate, err := b.hammer(ctx, side.address, request)
				if err != nil {
					return fmt.Errorf("%s: %w", f.name, err)
				}
				*side.rates = append(*side.rates, rate)
			}
		}
		if err := b.print(value{f.name, median(ours), "req/s"}, value{"echo_" + strings.ToLower(f.method), median(limit), ""}); err != nil {
			return err
		}
	}
	return nil
}

// hammer sends the request over all connections for a while and returns the answers a second. Its
// client costs next to nothing, for it shares the processors with the server.
func (b *bench) hammer(ctx context.Context, address string, request []byte) (float64, error) {
	length := 1500 * time.Millisecond
	if b.quick {
		length = 400 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var answers atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	start := time.Now()
	for range connections {
		all.Go(func() {
			if err := converse(ctx, address, request, &answers); err != nil {
				failed.Store(&err)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(answers.Load()) / time.Since(start).Seconds(), nil
}

func converse(ctx context.Context, address string, request []byte, answers *atomic.Int64) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for ctx.Err() == nil {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		if err := skipAnswer(in); err != nil {
			return err
		}
		answers.Add(1)
	}
	return nil
}

// skipAnswer reads one good answer that states its length.
func skipAnswer(in *bufio.Reader) error {
	status, length := "", -1
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if status == "" {
			status = string(line)
			continue
		}
		if len(line) == 0 {
			break
		}
		if n := len("Content-Length: "); len(line) > n && bytes.EqualFold(line[:n], []byte("Content-Length: ")) {
			if length, err = strconv.Atoi(string(line[n:])); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("%s: no Content-Length", status)
	}
	if !strings.HasPrefix(status, "HTTP/1.1 2") {
		body := make([]byte, length)
		_, _ = io.ReadFull(in, body)
		return fmt.Errorf("%s: %s", status, body)
	}
	_, err := in.Discard(length)
	return err
}

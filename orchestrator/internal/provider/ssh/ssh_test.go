package ssh

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
)

// serve starts a server whose commands run as they are, and returns how to reach it.
func serve(t *testing.T) Target {
	t.Helper()
	host, err := NewKey("host")
	if err != nil {
		t.Fatal(err)
	}
	client, err := NewKey("client")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &Daemon{HostKey: host.Private, Authorized: client.Public, Log: slog.New(slog.DiscardHandler),
		Exec: func(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) int {
			if argv[0] == "wait" {
				<-ctx.Done()
				return 1
			}
			cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
			cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, stdin, stdout, stderr
			cmd.Run()
			return cmd.ProcessState.ExitCode()
		}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return Target{Address: listener.Addr().String(), User: "x", Key: client.Private, HostKey: host.Public}
}

func TestDial_provesBothSides(t *testing.T) {
	target := serve(t)
	stranger, err := NewKey("stranger")
	if err != nil {
		t.Fatal(err)
	}
	closed := target
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	closed.Address = l.Addr().String()
	l.Close()
	for _, c := range []struct {
		name   string
		target Target
		want   dag.Class
	}{
		{"good", target, ""},
		{"another key of ours", Target{Address: target.Address, User: "x", Key: stranger.Private, HostKey: target.HostKey}, dag.Auth},
		{"another host key", Target{Address: target.Address, User: "x", Key: target.Key, HostKey: stranger.Public}, dag.Auth},
		{"no key", Target{Address: target.Address, User: "x", Key: []byte("x"), HostKey: target.HostKey}, dag.Permanent},
		{"nobody there", closed, dag.Transient},
	} {
		client, err := Dial(t.Context(), c.target)
		if e := provider.Classify(err); (e == nil) != (c.want == "") || e != nil && e.Class != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		if client != nil {
			client.Close()
		}
	}
}

func TestDial_endsWithItsContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	target := serve(t)
	target.Address = silent.Addr().String()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, target); provider.Classify(err).Class != dag.TimedOut {
		t.Errorf("silent server: %v", err)
	}
	target.Timeout = 50 * time.Millisecond // our own patience: it may just be coming up, so it is worth another try
	if _, err := Dial(t.Context(), target); provider.Classify(err).Class != dag.Transient {
		t.Errorf("server that is not up yet: %v", err)
	}
}

// TestRun_serverVanishes puts a wire between that stops carrying anything.
func TestRun_serverVanishes(t *testing.T) {
	target := serve(t)
	wire, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer wire.Close()
	cut, server := make(chan struct{}), target.Address
	go func() {
		in, err := wire.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		carry := func(to, from net.Conn) {
			buf := make([]byte, 32<<10)
			for {
				n, err := from.Read(buf)
				select {
				case <-cut: // swallowed
				default:
					to.Write(buf[:n])
				}
				if err != nil {
					to.Close()
					return
				}
			}
		}
		go carry(in, out)
		carry(out, in)
	}()
	target.Address, target.KeepAlive = wire.Addr().String(), 50*time.Millisecond
	client, err := Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if out, err := client.Run(t.Context(), provider.Command{Argv: []string{"echo", "here"}}); err != nil || string(out.Output) != "here\n" {
		t.Errorf("before: %q %v", out.Output, err)
	}
	time.AfterFunc(100*time.Millisecond, func() { close(cut) })
	if _, err := client.Run(t.Context(), provider.Command{Argv: []string{"wait"}}); provider.Classify(err).Class != dag.UnknownOutcome {
		t.Errorf("vanished: %v", err)
	}
}

func TestServer_refusesWhatNeedsAShell(t *testing.T) {
	client, err := Dial(t.Context(), serve(t))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, line := range []string{"echo a; echo b", "echo $HOME", "", "'open"} {
		session, err := client.conn.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		out, err := session.CombinedOutput(line)
		if err == nil || !strings.Contains(err.Error(), "126") || !strings.HasPrefix(string(out), "refused: ") {
			t.Errorf("%q: %q %v", line, out, err)
		}
	}
	if _, _, err := client.conn.OpenChannel("direct-tcpip", nil); err == nil {
		t.Error("a forwarding was opened")
	}
}

// TestServer_silentConnectionsDoNotShutOutTheOwner opens far more connections than a server keeps
// and says nothing on them. Sixty-four used to take all slots, until their handshake ran out of
// time 15 s later.
func TestServer_silentConnectionsDoNotShutOutTheOwner(t *testing.T) {
	t.Parallel()
	target := serve(t)
	for i := range 3 * maxStrangers {
		wire, err := net.Dial("tcp", target.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { wire.Close() })
		if i%2 == 0 { // some say who they are and then nothing
			io.WriteString(wire, "SSH-2.0-silent\r\n")
		}
	}
	began := time.Now()
	for range 3 {
		client, err := Dial(t.Context(), target)
		if err != nil {
			t.Fatalf("the owner is shut out: %v", err)
		}
		defer client.Close()
		if out, err := client.Run(t.Context(), provider.Command{Argv: []string{"echo", "in"}}); err != nil || string(out.Output) != "in\n" {
			t.Errorf("the owner's command: %q %v", out.Output, err)
		}
	}
	if took := time.Since(began); took > handshakeTimeout/3 {
		t.Errorf("the owner was let in after %s", took)
	}
}

// TestRun_aProgramIsNoVariable: with variables the program follows them in the arguments of env(1).
func TestRun_aProgramIsNoVariable(t *testing.T) {
	t.Parallel()
	client, err := Dial(t.Context(), serve(t))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, argv := range [][]string{{"LD_PRELOAD=x", "echo", "ran"}, {"./a=b"}, {}} {
		out, err := client.Run(t.Context(), provider.Command{Argv: argv, Env: map[string]string{"A": "b"}})
		if e := provider.Classify(err); e == nil || e.Class != dag.Permanent {
			t.Errorf("%q: %+v %v, want a refusal", argv, out, err)
		}
	}
	if out, err := client.Run(t.Context(), provider.Command{Argv: []string{"env"}, Env: map[string]string{"A": "-x=1"}}); err != nil ||
		!strings.Contains(string(out.Output), "A=-x=1\n") {
		t.Errorf("variables: %q %v", out.Output, err)
	}
}

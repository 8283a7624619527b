package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// RefusedExit is the status of a command that was not started: the one a shell gives for "cannot
// execute".
const RefusedExit = 126

// limits of one server
const (
	handshakeTimeout = 15 * time.Second
	maxConnections   = 64 // with our key; more wait
	maxStrangers     = 64 // that have shown no key yet; one more, and the oldest has to go
)

// Daemon answers SSH for one key. Exec starts an argument vector and returns its exit status; its
// context ends when the client goes away or the server stops, and Exec returns only when nothing of
// the command is left.
type Daemon struct {
	HostKey    []byte // private key file
	Authorized string // the public key that may log in, one line
	Exec       func(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) int
	Log        *slog.Logger
}

// Serve answers on the listener until ctx ends, then ends all connections and waits for their
// commands.
func (s *Daemon) Serve(ctx context.Context, listener net.Listener) error {
	config, err := s.config()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, maxConnections)
	var hall hall
	for {
		wire, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if ne := net.Error(nil); errors.As(err, &ne) && !errors.Is(err, net.ErrClosed) {
				s.Log.Warn("accept failed", "error", err)
				time.Sleep(50 * time.Millisecond) // out of descriptors: let some end
				continue
			}
			return fmt.Errorf("accept: %w", err)
		}
		hall.enter(wire)
		running.Go(func() { s.serve(ctx, wire, config, &hall, slots) })
	}
}

// hall holds the connections that have shown no key yet. Whoever opens many and says nothing pushes
// out his own: a handshake of the owner takes milliseconds, far less than it takes to open
// maxStrangers connections after it.
type hall struct {
	mu      sync.Mutex
	waiting []net.Conn // the oldest first
}

// enter adds a connection and closes the oldest one when there are too many.
func (h *hall) enter(wire net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) == maxStrangers {
		h.waiting[0].Close()
		h.waiting = slices.Delete(h.waiting, 0, 1)
	}
	h.waiting = append(h.waiting, wire)
}

// leave takes a connection out, whichever way its handshake ended.
func (h *hall) leave(wire net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.waiting, wire); i >= 0 {
		h.waiting = slices.Delete(h.waiting, i, i+1)
	}
}

func (s *Daemon) config() (*ssh.ServerConfig, error) {
	signer, err := ssh.ParsePrivateKey(s.HostKey)
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	allowed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.Authorized))
	if err != nil {
		return nil, fmt.Errorf("authorized key: %w", err)
	}
	config := &ssh.ServerConfig{
		MaxAuthTries: 6,
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(key.Marshal(), allowed.Marshal()) {
				return nil, errors.New("unknown key")
			}
			return nil, nil
		},
	}
	config.AddHostKey(signer)
	return config, nil
}

// serve is one connection, which has entered the hall and takes a slot once it has shown our key.
func (s *Daemon) serve(ctx context.Context, wire net.Conn, config *ssh.ServerConfig, hall *hall, slots chan struct{}) {
	defer wire.Close()
	stop := context.AfterFunc(ctx, func() { wire.Close() })
	defer stop()
	wire.SetDeadline(time.Now().Add(handshakeTimeout))
	conn, channels, requests, err := ssh.NewServerConn(wire, config)
	hall.leave(wire)
	if err != nil {
		s.Log.Debug("handshake failed", "from", wire.RemoteAddr().String(), "error", err)
		return
	}
	defer conn.Close()
	wire.SetDeadline(time.Time{})
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return
	}
	go ssh.DiscardRequests(requests)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for next := range channels {
		if next.ChannelType() != "session" {
			next.Reject(ssh.UnknownChannelType, "only sessions: this server runs commands and forwards nothing")
			continue
		}
		channel, requests, err := next.Accept()
		if err != nil {
			return
		}
		sessions.Go(func() { s.session(ctx, channel, requests) })
	}
}

// session runs the one command of a session.
func (s *Daemon) session(ctx context.Context, channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	started := false
	done := make(chan struct{})
	for req := range requests {
		switch {
		case req.Type == "signal":
			cancel() // whatever the signal, the command is to end
		case started:
			req.Reply(false, nil)
		case req.Type == "exec":
			var payload struct{ Command string }
			if err := ssh.Unmarshal(req.Payload, &payload); err != nil {
				req.Reply(false, nil)
				continue
			}
			started = true
			req.Reply(true, nil)
			go func() { defer close(done); s.command(ctx, channel, payload.Command) }()
		case req.Type == "shell":
			started = true
			req.Reply(true, nil)
			go func() { defer close(done); s.command(ctx, channel, "") }()
		case req.Type == "env" || req.Type == "pty-req":
			req.Reply(false, nil) // variables come with the command, through env(1)
		default:
			req.Reply(false, nil)
		}
	}
	cancel() // the client went away
	if started {
		<-done
	}
}

func (s *Daemon) command(ctx context.Context, channel ssh.Channel, line string) {
	status := RefusedExit
	if argv, err := Split(line); err != nil {
		fmt.Fprintf(channel.Stderr(), "refused: %v\n", err)
	} else {
		status = s.Exec(ctx, argv, channel, channel, channel.Stderr())
	}
	channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
	channel.Close()
}

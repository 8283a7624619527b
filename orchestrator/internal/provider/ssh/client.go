package ssh

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
)

// Target says where a server is, who we are there, and which host key it must show.
type Target struct {
	Address string // host:port
	User    string
	Key     []byte // our private key, as in an OpenSSH key file
	HostKey string // the server's public key, one line

	Timeout   time.Duration // of the dialling; 0: 15 s
	KeepAlive time.Duration // how often a silent server is asked whether it is there, and how long it may take; 0: 15 s
}

// Times of a connection that the caller's context does not bound.
const (
	dialTimeout = 15 * time.Second
	keepAlive   = 15 * time.Second
)

// Client is a connection to one server; it is a provider.Connection.
type Client struct {
	conn *ssh.Client
	done chan struct{} // closed when the connection has ended
}

// Dial connects and proves both sides: our key to the server, its host key to us.
func Dial(ctx context.Context, t Target) (*Client, error) {
	signer, err := ssh.ParsePrivateKey(t.Key)
	if err != nil {
		return nil, provider.Errorf(dag.Permanent, "the key for %s cannot be read", t.Address).Because(err)
	}
	host, _, _, _, err := ssh.ParseAuthorizedKey([]byte(t.HostKey))
	if err != nil {
		return nil, provider.Errorf(dag.Permanent, "the host key of %s cannot be read", t.Address).Because(err)
	}
	dialling, cancel := context.WithTimeout(ctx, cmp.Or(t.Timeout, dialTimeout))
	defer cancel()
	wire, err := (&net.Dialer{}).DialContext(dialling, "tcp", t.Address)
	if err != nil {
		return nil, refused(ctx, t.Address, err)
	}
	stop := context.AfterFunc(dialling, func() { wire.Close() })
	conn, channels, requests, err := ssh.NewClientConn(wire, t.Address, &ssh.ClientConfig{
		User:              t.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback:   ssh.FixedHostKey(host),
		HostKeyAlgorithms: []string{host.Type()},
	})
	if !stop() || err != nil {
		wire.Close()
		return nil, refused(ctx, t.Address, err)
	}
	c := &Client{conn: ssh.NewClient(conn, channels, requests), done: make(chan struct{})}
	go func() { defer close(c.done); c.conn.Wait() }()
	go c.watch(cmp.Or(t.KeepAlive, keepAlive))
	return c, nil
}

// watch ends the connection to a server that vanished without a word; a command would otherwise
// wait for it until its deadline.
func (c *Client) watch(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-tick.C:
		}
		late := time.AfterFunc(every, func() { c.conn.Close() })
		_, _, err := c.conn.SendRequest("keepalive@openssh.com", true, nil)
		late.Stop()
		if err != nil {
			c.conn.Close()
			return
		}
	}
}

// refused classifies a failed connection. A server that comes up refuses for a while, so only a
// wrong key is final.
func refused(ctx context.Context, address string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && (strings.Contains(err.Error(), "unable to authenticate") || strings.Contains(err.Error(), "host key mismatch")) {
		return provider.Errorf(dag.Auth, "the server at %s and we do not accept each other's key: it is not the server we made, or its "+
			"keys were changed", address).Because(err)
	}
	if provider.Ours(err) {
		return provider.Errorf(dag.Transient, "the orchestrator cannot connect to the server at %s: %v", address, err).Because(err)
	}
	return provider.Errorf(dag.Transient, "the server at %s does not answer yet", address).Because(err)
}

// Run starts the argument vector on the server and waits for it.
func (c *Client) Run(ctx context.Context, cmd provider.Command) (provider.Outcome, error) {
	argv, err := withEnv(cmd)
	var line string
	if err == nil {
		line, err = Quote(argv)
	}
	if err != nil {
		return provider.Outcome{}, provider.Errorf(dag.Permanent, "the command cannot be sent: %v", err)
	}
	session, err := c.conn.NewSession()
	if err != nil {
		return provider.Outcome{}, lost(ctx, err)
	}
	defer session.Close()
	out := &capped{}
	session.Stdin, session.Stdout, session.Stderr = bytes.NewReader(cmd.Stdin), out, out
	// Closing the channel makes a server of ours end the process group; a plain sshd sees its pipes
	// closed.
	stop := context.AfterFunc(ctx, func() { session.Signal(ssh.SIGTERM); session.Close() })
	defer stop()
	err = session.Run(line)
	outcome := out.outcome()
	if ctx.Err() != nil {
		return outcome, ctx.Err()
	}
	var exit *ssh.ExitError
	switch {
	case errors.As(err, &exit):
		outcome.Exit = exit.ExitStatus()
		if outcome.Exit == 0 {
			outcome.Exit = 255 // ended by a signal and said so without a status
		}
	case err != nil:
		return outcome, lost(ctx, err)
	}
	return outcome, nil
}

// withEnv puts the environment in front through env(1): a plain sshd takes no variables from a
// client.
func withEnv(cmd provider.Command) ([]string, error) {
	if len(cmd.Env) == 0 {
		return cmd.Argv, nil
	}
	if len(cmd.Argv) == 0 || strings.Contains(cmd.Argv[0], "=") {
		return nil, fmt.Errorf("env(1) would not read %q as a program and its arguments", cmd.Argv)
	}
	argv := []string{"env"}
	for name, value := range cmd.Env {
		argv = append(argv, name+"="+value)
	}
	slices.Sort(argv[1:])
	return append(argv, cmd.Argv...), nil
}

// lost says that a connection broke while a command may or may not have run.
func lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return provider.Errorf(dag.UnknownOutcome, "the connection to the server broke while a command was running").Because(err)
}

// Upload writes content to a file and gives it the mode. It needs mkdir, dd and chmod there,
// nothing else.
func (c *Client) Upload(ctx context.Context, name string, mode fs.FileMode, content []byte) error {
	for _, cmd := range []provider.Command{
		{Argv: []string{"mkdir", "-p", "--", path.Dir(name)}},
		{Argv: []string{"dd", "status=none", "of=" + name}, Stdin: content},
		{Argv: []string{"chmod", fmt.Sprintf("%04o", mode.Perm()), "--", name}},
	} {
		out, err := c.Run(ctx, cmd)
		if err != nil {
			return err
		}
		if out.Exit != 0 {
			return provider.Errorf(provider.ClassOf(out.Output), "%s on the server failed with exit %d while writing %s: %s", cmd.Argv[0],
				out.Exit, name, bytes.TrimSpace(out.Output))
		}
	}
	return nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// capped keeps the first OutputLimit bytes and counts the rest.
type capped struct {
	mu      sync.Mutex // standard output and error arrive on two goroutines
	kept    bytes.Buffer
	dropped int64
}

var _ io.Writer = (*capped)(nil)

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keep := min(len(p), provider.OutputLimit-c.kept.Len())
	c.kept.Write(p[:keep])
	c.dropped += int64(len(p) - keep)
	return len(p), nil
}

func (c *capped) outcome() provider.Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return provider.Outcome{Output: bytes.Clone(c.kept.Bytes()), Dropped: c.dropped}
}

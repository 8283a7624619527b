// Package rig starts the built binaries the way an operator does and hands out signed-in clients:
// the black-box suites, the demo and the benchmarks all stand on it. It knows the operator's
// contract and nothing of the programs' insides. It works without a testing.T, because the demo has
// none.
//
// The one rule: a service is started on port 0 once and keeps the address it got over every
// restart.
package rig

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Service is one running binary. Its methods are used by one goroutine.
type Service struct {
	Name    string   // "orchestrator"
	Bin     string   // path of the binary
	Args    []string // without --listen
	Env     []string // added to the environment
	Log     string   // file that standard error goes to, appended over restarts
	Address string   // "http://127.0.0.1:43211" once started

	ListenPeer      string // of the control-center: the service-to-service port; empty: none
	ListenTLS       string // a further address, with TLS; empty: none
	Directory       string // "http://127.0.0.1:43213" of the Provisioning API once started with ListenDirectory
	ListenDirectory string // of the control-center: the Provisioning API; empty: none
	Secure          string // "https://127.0.0.1:43212" once started with ListenTLS

	cmd    *exec.Cmd     // of the last process that was started
	ended  chan struct{} // closed when the process has ended
	result error         // its Wait error; readable once ended is closed
	known  bool          // the caller knows that and why it ended: Kill, or an error of Start
}

// readyWithin bounds the wait for a service, in time; a healthy start takes well under a second.
const readyWithin = 20 * time.Second

// Start starts the process and returns when GET /health answers 200.
func (s *Service) Start(ctx context.Context) error {
	listen := "127.0.0.1:0"
	if s.Address != "" {
		listen = strings.TrimPrefix(s.Address, "http://")
	}
	return s.StartOn(ctx, listen)
}

// StartOn is Start with the listen addresses given.
func (s *Service) StartOn(ctx context.Context, listen ...string) error {
	logFile, err := os.OpenFile(s.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = logFile.Close() }()
	args := append([]string(nil), s.Args...)
	for _, l := range listen {
		args = append(args, "--listen", l)
	}
	cmd := exec.Command(s.Bin, args...)
	cmd.Env = append(os.Environ(), s.Env...)
	if s.ListenPeer != "" {
		cmd.Env = append(cmd.Env, "CONTROL_CENTER_TLS_PEER_LISTEN="+s.ListenPeer)
	}
	if s.ListenDirectory != "" {
		cmd.Env = append(cmd.Env, "CONTROL_CENTER_PROVISIONING_LISTEN="+s.ListenDirectory)
	}
	if s.ListenTLS != "" {
		cmd.Env = append(cmd.Env, strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))+"_TLS_LISTEN="+s.ListenTLS)
	}
	cmd.Stderr = logFile
	// A test process that is interrupted or timed out must not leave services behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	started, ended, lines := make(chan error), make(chan struct{}), make(chan string, 16)
	go func() {
		// The kernel sends that signal when the thread ends that started the process: it stays with
		// this goroutine.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		for sc := bufio.NewScanner(out); sc.Scan(); {
			select {
			case lines <- sc.Text():
			default: // nobody is interested in more
			}
		}
		close(lines)
		s.result = cmd.Wait()
		close(ended)
	}()
	if err := <-started; err != nil {
		return err
	}
	s.cmd, s.ended, s.known = cmd, ended, false
	return s.awaitReady(ctx, lines)
}

func (s *Service) awaitReady(ctx context.Context, lines <-chan string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	waits := map[string]bool{"plain": true, "tls": s.ListenTLS != "", "directory": s.ListenDirectory != ""}
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				<-s.ended
				s.known = true
				return fmt.Errorf("%s ended before it listened (%v): %s", s.Name, s.result, s.tail())
			}
			if peer, found := strings.CutPrefix(line, "peer https://"); found {
				s.ListenPeer = peer
			}
			address, found := strings.CutPrefix(line, "listening ")
			door, isDoor := strings.CutSuffix(address, " (Provisioning API)")
			switch host, secure := strings.CutPrefix(address, "https://"); {
			case !found:
			case isDoor:
				s.Directory, waits["directory"] = door, false
				_, s.ListenDirectory, _ = strings.Cut(door, "://")
			case secure && s.ListenTLS != "":
				s.Secure, waits["tls"] = address, false
				s.ListenTLS = host
			case waits["plain"]:
				s.Address, waits["plain"] = address, false
			}
			if !waits["plain"] && !waits["tls"] && !waits["directory"] {
				return s.awaitHealth(ctx)
			}
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen after %s: %s", s.Name, readyWithin, s.tail())
		}
	}
}

func (s *Service) awaitHealth(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Address+"/health", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-s.ended:
			s.known = true
			return fmt.Errorf("%s ended before it was ready (%v): %s", s.Name, s.result, s.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %s", s.Name, readyWithin, s.tail())
		}
	}
}

// Kill ends the process with SIGKILL and returns when it is gone.
func (s *Service) Kill() error {
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.ended
	s.known = true
	return nil
}

// Stop ends the process with SIGTERM and returns its exit code, -1 for an end by a signal; one that
// does not end within 35 s is killed. A process that nobody asked to end (Kill, Stop) and whose end
// no Start reported is an error.
func (s *Service) Stop() (int, error) {
	if s.cmd == nil {
		return 0, nil
	}
	if s.known {
		<-s.ended // somebody else may be stopping it
		return 0, nil
	}
	s.known = true
	select {
	case <-s.ended:
		return s.cmd.ProcessState.ExitCode(), fmt.Errorf("%s ended by itself (%v): %s", s.Name, s.cmd.ProcessState, s.tail())
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return -1, err
	}
	select {
	case <-s.ended:
		return s.cmd.ProcessState.ExitCode(), nil
	case <-time.After(35 * time.Second):
		return -1, errors.Join(fmt.Errorf("%s did not stop within 35 s", s.Name), s.Kill())
	}
}

// Done returns a channel that is closed when the started process has ended.
func (s *Service) Done() <-chan struct{} { return s.ended }

// PID returns the process id.
func (s *Service) PID() int { return s.cmd.Process.Pid }

// CPU returns the processor time that an ended process used, user and system together.
func (s *Service) CPU() time.Duration {
	return s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime()
}

// tail returns the end of the log, for an error's text.
func (s *Service) tail() string {
	raw, err := os.ReadFile(s.Log)
	if err != nil {
		return err.Error()
	}
	if i := strings.LastIndex(string(raw), "\nerror: "); i >= 0 { // it said why it ended
		said, _, _ := strings.Cut(string(raw[i+1:]), "\n{") // another process may be writing on
		return strings.TrimSpace(said)
	}
	if len(raw) > 2000 {
		raw = raw[len(raw)-2000:]
	}
	return filepath.Base(s.Log) + " ends with:\n" + string(raw)
}

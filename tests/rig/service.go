// Package rig starts the built binaries the way an operator does and hands out signed-in clients: the black-box
// suites, the demo and the benchmarks all stand on it. It knows the operator's contract and nothing of the
// programs' insides. It works without a testing.T, because the demo has none.
//
// The one rule: a service is started on port 0 once and keeps the address it got over every restart.
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
	"strings"
	"sync"
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

	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has ended
	result error         // its Wait error; readable once ended is closed
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
	s.cmd = exec.Command(s.Bin, args...)
	s.cmd.Env = append(os.Environ(), s.Env...)
	s.cmd.Stderr = logFile
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.ended = make(chan struct{})
	lines := make(chan string, 16)
	var reading sync.WaitGroup
	reading.Add(1)
	go func() {
		defer reading.Done()
		defer close(lines)
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			select {
			case lines <- sc.Text():
			default: // nobody is interested in more
			}
		}
	}()
	go func(cmd *exec.Cmd, ended chan struct{}) {
		reading.Wait()
		s.result = cmd.Wait()
		close(ended)
	}(s.cmd, s.ended)
	return s.awaitReady(ctx, lines)
}

func (s *Service) awaitReady(ctx context.Context, lines <-chan string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				<-s.ended
				return fmt.Errorf("%s ended before it listened (%v): %s", s.Name, s.result, s.tail())
			}
			if address, found := strings.CutPrefix(line, "listening "); found {
				s.Address = address
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
	return nil
}

// Stop ends the process with SIGTERM and returns its exit code; one that does not end within 35 s is killed.
func (s *Service) Stop() (int, error) {
	if s.cmd == nil || s.Ended() {
		return 0, nil
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

// Done returns a channel that is closed when the process has ended.
func (s *Service) Done() <-chan struct{} { return s.ended }

// Ended says whether the process has ended.
func (s *Service) Ended() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

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

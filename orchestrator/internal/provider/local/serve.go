package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provisioning-platform/platform/orchestrator/internal/provider/ssh"
	"github.com/provisioning-platform/platform/shared/instance"
)

// Verb is the hidden verb of the orchestrator's binary that serves one local server. main looks for
// it before anything else: if os.Args[1] is Verb, it exits with ServeMain(os.Args[2:]).
const Verb = "local-server"

// watchEvery is how soon a process notices that its folder is gone.
const watchEvery = 250 * time.Millisecond

// ServeMain is the process of one server, whose folder is the only argument. It returns the exit
// status when it is told to end (SIGTERM), when the folder is gone, or when another process serves
// the folder.
func ServeMain(args []string) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if len(args) != 1 || !filepath.IsAbs(args[0]) {
		log.Error("usage: " + Verb + " FOLDER (an absolute path; the orchestrator calls this)")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	signal.Ignore(syscall.SIGHUP)
	if err := serve(ctx, folder(args[0]), log); err != nil {
		log.Error("local server ended", "error", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, f folder, log *slog.Logger) error {
	who, ok, err := f.identity()
	if err != nil || !ok {
		return fmt.Errorf("no server in %s: %w", f, err)
	}
	lock, err := os.OpenFile(f.at("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.New("another process serves this server")
	}
	if err := os.Chdir(string(f)); err != nil { // which shows others what this process serves
		return err
	}
	limitResources()
	last, _ := f.process() // only for its port; damaged is as good as none
	listener, err := listen(last.Port)
	if err != nil {
		return err
	}
	defer listener.Close()
	at, _ := instance.StartedAt(os.Getpid())
	p := process{PID: os.Getpid(), Port: listener.Addr().(*net.TCPAddr).Port, Server: who.ID, Started: at}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := f.writeConnection(who, p); err != nil {
		return err
	}
	if err := writeWhole(f.at("process.json"), text); err != nil {
		return err
	}
	server, err := sshServer(f, who, log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go watch(ctx, f, lock, cancel)
	if tell := os.NewFile(3, "ready"); tell != nil {
		tell.Write(append(text, '\n')) // nobody may be there any more to read it
		tell.Close()
	}
	log.Info("local server", "name", who.Name, "id", who.ID, "address", p.address())
	return server.Serve(ctx, listener)
}

// listen takes the port of last time when it is free, so that a restart does not move the server.
func listen(port int) (net.Listener, error) {
	if port != 0 {
		if l, err := net.Listen("tcp", process{Port: port}.address()); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp", loopback+":0")
}

func sshServer(f folder, who serverIdentity, log *slog.Logger) (*ssh.Daemon, error) {
	host, err := os.ReadFile(f.at("ssh/host_key"))
	if err != nil {
		return nil, err
	}
	client, err := os.ReadFile(f.at("ssh/client_key.pub"))
	if err != nil {
		return nil, err
	}
	run := commandRunner{folder: f, who: who}
	return &ssh.Daemon{HostKey: host, Authorized: string(client), Exec: run.exec, Log: log}, nil
}

// watch cancels when the lock file is no longer in the folder where it was opened.
func watch(ctx context.Context, f folder, lock *os.File, cancel func()) {
	defer cancel()
	mine, err := lock.Stat()
	if err != nil {
		return
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			there, err := os.Stat(f.at("lock"))
			if errors.Is(err, os.ErrNotExist) || (err == nil && !os.SameFile(mine, there)) {
				return
			}
		}
	}
}

// limitResources sets what commands inherit: no core files, which could hold secrets, a bounded
// number of open files, and none of the descriptors that this process was given. What cannot be set
// stays as it was.
func limitResources() {
	inheritNothing()
	syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 4096, Max: 4096})
}

// inheritNothing keeps the descriptors that this process was started with, a lock of whoever
// started it among them, from the processes that it starts. Those that it opened itself are kept
// from them already.
func inheritNothing() { unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) }

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/provider/ssh"
)

// searchPath is where programs are looked for; nobody's environment has a say.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Times of the end of a command: after SIGTERM until SIGKILL, and for its pipes when it left
// children behind.
const (
	commandGrace = time.Second
	pipeGrace    = time.Second
)

// commandRunner starts commands on a server.
type commandRunner struct {
	folder folder
	who    serverIdentity
}

// exec runs an argument vector in a process group of its own and returns its status as a shell
// would. When it returns, nothing of the group is left.
func (r commandRunner) exec(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := r.folder.at("root")
	program, err := lookup(argv[0])
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 127
	}
	cmd := &exec.Cmd{Path: program, Args: argv, Dir: root, Stdout: stdout, Stderr: stderr, WaitDelay: pipeGrace}
	cmd.Env = []string{
		"PATH=" + searchPath, "LANG=C.UTF-8", "HOME=" + root, "USER=" + user, "LOGNAME=" + user,
		"PROVISIONING_ROOT=" + root, "PROVISIONING_SERVER=" + r.who.Name, marker + "=" + string(r.folder),
	}
	// The kernel sends the signal when the thread that forked ends, so the thread has to stay as
	// long as the command.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	in, err := cmd.StdinPipe() // not cmd.Stdin: Wait would wait for a client that sends nothing
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", argv[0], cause(err))
		return ssh.RefusedExit
	}
	go func() { io.Copy(in, stdin); in.Close() }()
	group := -cmd.Process.Pid
	done := make(chan struct{})
	go stopGroup(ctx, group, done)
	err = cmd.Wait()
	close(done)
	syscall.Kill(group, syscall.SIGKILL) // children it left behind
	if err != nil && cmd.ProcessState == nil {
		fmt.Fprintf(stderr, "%s: %v\n", argv[0], cause(err))
		return ssh.RefusedExit
	}
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

// stopGroup ends the group when ctx ends before the command is done.
func stopGroup(ctx context.Context, group int, done <-chan struct{}) {
	select {
	case <-done:
		return
	case <-ctx.Done():
		syscall.Kill(group, syscall.SIGTERM)
	}
	select {
	case <-done:
	case <-time.After(commandGrace):
		syscall.Kill(group, syscall.SIGKILL)
	}
}

// lookup finds a program. A name with a slash is taken as it is, relative to the server's root.
func lookup(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(searchPath) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: command not found", name)
}

// cause takes the path off an error that the caller names itself.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

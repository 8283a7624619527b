// Command demo does the platform's main job once, from an empty folder to an empty folder, through
// the same binaries and verbs that an operator uses: initialise, serve, sign in with TOTP, take a
// checkpoint, submit the reference's batch, watch it live, survive a SIGKILL half way, verify a
// signed webhook, use the servers over SSH, roll back, verify both audit logs. With -serve it keeps
// both services running on a persistent folder instead.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "folder with the two binaries")
	serve := flag.String("serve", "", "keep serving on this folder instead of running the demo")
	keep := flag.Bool("keep", false, "leave the demo's folder in place")
	flag.Parse()
	// A closed terminal is an end like Ctrl-C, and a reader that went away first (make run | tee)
	// must not end this process before it has ended the services.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	signal.Ignore(syscall.SIGPIPE)

	var err error
	if *serve != "" {
		err = keepServing(ctx, *bin, *serve)
	} else {
		err = onFreshFolder(ctx, *bin, *keep)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "\nfailed:", err)
		os.Exit(1)
	}
}

// demoLimit bounds the whole demo, so that a hang ends as an error.
const demoLimit = 3 * time.Minute

func onFreshFolder(ctx context.Context, bin string, keep bool) error {
	ctx, cancel := context.WithTimeout(ctx, demoLimit)
	defer cancel()
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "provisioning-demo-")
	if err != nil {
		return err
	}
	d := &demo{bin: bin, dir: dir, started: time.Now()}
	err = errors.Join(d.run(ctx), d.close())
	if err != nil {
		// The story ends with a rollback; one that broke off has left its servers.
		ended, endErr := endServersBelow(dir)
		if ended > 0 {
			fmt.Printf("\n%d servers of the demo were told to end\n", ended)
		}
		err = errors.Join(err, endErr)
	}
	if err != nil || keep {
		fmt.Println("\nlogs and data are left in", dir)
		return err
	}
	return os.RemoveAll(dir)
}

// Command scale fills an installation with a long history and measures what a person then waits
// for. It prints one line a figure:
//
//	scale NAME VALUE UNIT [limit=LIMIT]
//
// The history goes through the built binaries' own API: a million finished tasks, a hundred
// thousand servers and a million rows in the audit log. It belongs to no gate, for it takes
// minutes; `make scale` runs it.
//
// The one rule: a figure above its limit fails the run, and so does an answer that is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

// scale is one run.
type scale struct {
	bin      string
	dir      string // of the installations; removed at the end unless it was named
	only     *regexp.Regexp
	exceeded []string // figures above their limit

	tasks, servers, rows, messages int
}

// job fills an installation of its own and measures what it is about.
type job struct {
	name string
	run  func(context.Context, *scale) error
}

// jobs are all there are.
var jobs = []job{{"history", history}, {"rollback", whole}, {"directory", directory}}

func main() {
	s := &scale{}
	flag.StringVar(&s.bin, "bin", "bin", "folder with both binaries")
	flag.StringVar(&s.dir, "dir", "", "folder for the installations, kept and used again: the next run measures without filling")
	only := flag.String("only", "", "run only jobs whose name matches this regular expression")
	flag.IntVar(&s.tasks, "tasks", 1_000_000, "finished tasks")
	flag.IntVar(&s.servers, "servers", 100_000, "of them: tasks that made a server, which stands")
	flag.IntVar(&s.messages, "messages", 1_000_000, "directory events that wait in one queue")
	flag.IntVar(&s.rows, "rows", 1_000_000, "further rows in the audit log")
	flag.Parse()
	// The services end with the run: also when something else ends it, such as a time limit.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := s.main(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		stop()
		os.Exit(1)
	}
}

func (s *scale) main(ctx context.Context, only string) (err error) {
	if s.only, err = regexp.Compile(only); err != nil {
		return err
	}
	if s.bin, err = filepath.Abs(s.bin); err != nil {
		return err
	}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "scale-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(s.dir) }()
	}
	for _, j := range jobs {
		if !s.only.MatchString(j.name) {
			continue
		}
		if err := j.run(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
	}
	if len(s.exceeded) > 0 {
		return fmt.Errorf("above their limits: %v", s.exceeded)
	}
	return nil
}

// print prints a figure and notes whether it is above its limit; limit 0 is none.
func (s *scale) print(name string, value float64, unit string, limit float64) {
	line := fmt.Sprintf("scale %s %.1f %s", name, value, unit)
	if limit > 0 {
		line += fmt.Sprintf(" limit=%.0f", limit)
		if value > limit {
			line += " EXCEEDED"
			s.exceeded = append(s.exceeded, name)
		}
	}
	fmt.Println(line)
}

// wrong is the error of an answer that is not what it must be.
func wrong(format string, args ...any) error {
	return errors.New("wrong answer: " + fmt.Sprintf(format, args...))
}

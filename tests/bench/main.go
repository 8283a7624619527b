// Command bench measures the built binaries and the packages and prints one line a figure:
//
//	bench NAME VALUE UNIT [ratio=R of=LIMIT:VALUE]
//
// The limit is what the machine can do at best for the same work, measured in the same run, just
// before or after. Benchmarks of single packages live beside them and are collected from here; what
// needs both services is measured here, through the API, on the embedded store. It judges nothing:
// the goals are in the handbook.
//
// The one rule: compare ratios, not figures. Whatever else the machine does moves both sides of a
// ratio.
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

func main() {
	bin := flag.String("bin", "bin", "folder with both binaries")
	only := flag.String("only", "", "measure only figures whose name matches this regular expression")
	quick := flag.Bool("quick", false, "shorter and rougher")
	echo := flag.Bool("echo", false, "be the HTTP server that others are compared with")
	flag.Parse()
	if *echo {
		exit(serveEcho())
	}
	// The services end with the run: also when something else ends it, such as a time limit.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, *bin, *only, *quick))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bench is one run.
type bench struct {
	bin   string
	dir   string // scratch
	only  *regexp.Regexp
	quick bool
}

// part is a group of figures that are measured together.
type part struct {
	names   []string // of its figures, for -only
	measure func(context.Context) error
}

func run(ctx context.Context, bin, only string, quick bool) (err error) {
	b := &bench{quick: quick}
	if b.only, err = regexp.Compile(only); err != nil {
		return err
	}
	if b.bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	failed := 0
	for _, p := range append(b.services(), b.packages()...) {
		if !b.wanted(p.names) {
			continue
		}
		if err := p.measure(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			failed++
			fmt.Fprintf(os.Stderr, "bench: %v: %v\n", p.names, err)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d parts could not be measured", failed)
	}
	return nil
}

func (b *bench) wanted(names []string) bool {
	for _, n := range names {
		if b.only.MatchString(n) {
			return true
		}
	}
	return false
}

// value is a measured value with its unit, and how its line begins.
type value struct {
	name string
	v    float64
	unit string
}

// print prints a figure beside its limit; a limit without a name is none. Ratios are the share of
// the limit that is reached, so 1 is the best for times as well as for rates. A figure or a limit
// that is not above zero was not measured.
func (b *bench) print(figure, limit value) error {
	if !b.only.MatchString(figure.name) {
		return nil
	}
	if !measured(figure.v) || limit.name != "" && !measured(limit.v) {
		return fmt.Errorf("%s was not measured: %v, beside %s %v", figure.name, figure.v, limit.name, limit.v)
	}
	line := fmt.Sprintf("bench %s %s %s", figure.name, short(figure.v), figure.unit)
	if limit.name != "" {
		ratio := figure.v / limit.v
		if figure.unit == "ns" {
			ratio = 1 / ratio
		}
		line += fmt.Sprintf(" ratio=%.3g of=%s:%s", ratio, limit.name, short(limit.v))
	}
	fmt.Println(line)
	return nil
}

// measured says whether v can be what a measurement gave.
func measured(v float64) bool { return v > 0 && !math.IsInf(v, 1) }

// short writes a number with three or more significant digits and no exponent.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.4f", v)
}

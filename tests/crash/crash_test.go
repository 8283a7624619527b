// Package crash kills the built binaries with SIGKILL at random moments under load and holds what
// they kept against what they had acknowledged. It also restores older folders and cuts logs, which
// is what the witness is for.
//
// The one rule: a client's ledger is the only judge. What was answered with 2xx is there for ever,
// what was deleted stays deleted, and everything that was accepted comes to its end without a
// person's help.
package crash

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

var (
	kills   = flag.Int("kills", 20, "kills on each store")
	seed    = flag.Uint64("seed", 0, "seed of the random moments; 0 takes one from the clock")
	readyIn = flag.Duration("ready", 2*time.Second, "how soon a killed service must be ready again")
)

const clients = 8

// TestCrash_nothingAcknowledgedIsLost is the bar's D01, with X01 and E01 in the same run.
func TestCrash_nothingAcknowledgedIsLost(t *testing.T) {
	if *kills < 1 {
		t.Fatalf("-kills %d: nothing would be shown", *kills)
	}
	for _, store := range []string{"embedded", "surrealdb"} {
		t.Run(store, func(t *testing.T) {
			run(t, store, *kills)
		})
	}
}

func run(t *testing.T, store string, n int) {
	random := rand.New(rand.NewPCG(seedOf(t), 1))
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir(), Env: []string{"CONTROL_CENTER_TOKENS_ACCESS_TTL=4h"}}
	w := newWorld(t, &o)
	if store == "surrealdb" {
		rigtest.UseSurreal(t, &o)
	}
	w.rig = rigtest.Start(t, o)
	load, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, clients)
	for i := range clients {
		c := newClient(w, i, random.Uint64())
		w.clients = append(w.clients, c)
		go func() { ended <- c.run(load) }()
	}
	var starts []time.Duration
	for i := range n {
		starts = append(starts, w.kill(random)...)
		if t.Failed() {
			t.Fatalf("after kill %d of %d", i+1, n)
		}
		w.compare(false)
	}
	stop()
	for range clients {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	w.settle()
	w.compare(true)
	w.effects()
	w.events()
	w.verify()
	slices.Sort(starts)
	t.Logf("%s: %d kills, %s; ready again after p50 %s, max %s", store, n, w.counts(), round(starts[len(starts)/2]),
		round(starts[len(starts)-1]))
	for _, took := range starts {
		if took > *readyIn {
			t.Errorf("a service was ready only %s after its start; the bar is %s", round(took), *readyIn)
		}
	}
}

// kill ends one service or both at a random moment and starts what it ended; it returns the times
// from exec to ready.
func (w *world) kill(random *rand.Rand) (starts []time.Duration) {
	clock.Pause(w.t.Context(), time.Duration(50+random.IntN(350))*time.Millisecond, nil)
	victims := [][]*rig.Service{
		{w.rig.Orchestrator}, {w.rig.ControlCenter}, {w.rig.Orchestrator}, {w.rig.ControlCenter}, {w.rig.Orchestrator, w.rig.ControlCenter},
	}[random.IntN(5)]
	for _, s := range victims {
		if err := s.Kill(); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, s := range victims {
		began := time.Now()
		if err := s.Start(w.t.Context()); err != nil {
			w.t.Error(err)
			return starts
		}
		starts = append(starts, time.Since(began))
	}
	return starts
}

// seedOf prints the seed.
func seedOf(t *testing.T) uint64 {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("again with: go test ./tests/crash -run '%s' -seed %d", t.Name(), s)
	return s
}

func round(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

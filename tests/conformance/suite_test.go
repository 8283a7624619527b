// Package conformance holds the numbered behaviours of contracts/platform.md section 3 against the
// built binaries, on the embedded store and on SurrealDB. A behaviour is a black box: HTTP,
// WebSocket, files of the operator's contract, nothing of the programs' insides.
//
// The one rule: a behaviour has exactly one test, named by its number; what has none stands in
// testdata/missing.golden.
package conformance

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

var (
	update = flag.Bool("update", false, "write the golden list of untested behaviours anew")
	only   = flag.String("store", "", "run one store only: embedded or surrealdb")
)

// behaviour is one numbered test. It gets the shared installation of its store and must leave it
// usable.
type behaviour struct {
	number int
	name   string // what the contract demands, as words_joined_by_underscores
	test   func(t *testing.T, e *env)
}

// waiting lists the behaviours that mostly wait for a window or a time-out to pass: they run beside
// each other.
var waiting = map[int]bool{110: true, 112: true, 158: true, 163: true, 165: true, 180: true}

// all returns every behaviour, in order of number.
func all() []behaviour {
	var list []behaviour
	for _, group := range [][]behaviour{general, health, tasks, workflows, batches, states, rollbacks, restores, authentication, users,
		policies, audits, metrics, sockets, webhooks, limits, realClients} {
		list = append(list, group...)
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].number < list[j].number })
	return list
}

// TestConformance runs every behaviour on both stores.
func TestConformance(t *testing.T) {
	for _, store := range []string{"embedded", "surrealdb"} {
		if *only != "" && *only != store {
			continue
		}
		t.Run(store, func(t *testing.T) {
			e := newEnv(t, store)
			for _, b := range all() {
				t.Run(fmt.Sprintf("B%03d_%s", b.number, b.name), func(t *testing.T) {
					if waiting[b.number] {
						t.Parallel()
					}
					b.test(t, e.in(t))
				})
			}
		})
	}
}

// behaviours is the number of behaviours in the contract.
const behaviours = 188

// TestCoverage_listsWhatIsMissing holds the list of behaviours without a test to the golden file.
func TestCoverage_listsWhatIsMissing(t *testing.T) {
	tested := map[int]bool{}
	for _, b := range all() {
		if tested[b.number] {
			t.Errorf("behaviour %d has two tests", b.number)
		}
		tested[b.number] = true
	}
	var missing []string
	for n := 1; n <= behaviours; n++ {
		if !tested[n] {
			missing = append(missing, fmt.Sprint(n))
		}
	}
	got := fmt.Sprintf("%d of %d behaviours have a test; without one:\n%s\n", len(tested), behaviours, strings.Join(missing, "\n"))
	golden := filepath.Join("testdata", "missing.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("the list of untested behaviours changed; review it and run with -update:\n%s", got)
	}
}

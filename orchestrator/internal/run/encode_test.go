package run

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/store"
)

// fill sets fields at random, each with a chance of staying empty.
func fill(rng *rand.Rand, v reflect.Value, empty float64) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.UnixMicro(rng.Int64N(1 << 51)).UTC()))
		return
	}
	if rng.Float64() < empty && v.Kind() != reflect.Struct {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString([]string{"plain", "quote\" back\\slash", "umlaut ä <&> \u2028", "tab\t nul\x00", "bad \xff"}[rng.IntN(5)] +
			fmt.Sprint(rng.IntN(1000)))
	case reflect.Int, reflect.Int64:
		v.SetInt(rng.Int64N(1_000_000))
	case reflect.Uint64:
		v.SetUint(rng.Uint64N(1_000_000))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(rng, v.Elem(), empty)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rng.IntN(4), 4))
		for i := range v.Len() {
			fill(rng, v.Index(i), empty)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range rng.IntN(4) {
			v.SetMapIndex(reflect.ValueOf(fmt.Sprintf("k%d ä", 9-i)), reflect.ValueOf("value"))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() { // what is not is not stored
				fill(rng, v.Field(i), empty)
			}
		}
	default:
		panic(v.Kind())
	}
}

func TestEncode_isCanonicalWhateverIsSet(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var o Encoder // all behind each other, as in a commit
	same := func(what string, v any) {
		t.Helper()
		got := o.Body().Bytes()
		want, err := canonical.Make(v)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Fatalf("%s:\n got %s\nwant %s", what, got, want)
		}
	}
	for n := range 2000 {
		o.Reset()
		empty := []float64{0, 0.5, 1}[n%3]
		var task dag.Task
		fill(rng, reflect.ValueOf(&task).Elem(), empty)
		if task.Args == nil { // never nil in a run
			task.Args = []string{}
		}
		if task.Dependencies == nil {
			task.Dependencies = []string{}
		}
		o.task(&task)
		same("task", task)
		var h dag.Header
		fill(rng, reflect.ValueOf(&h).Elem(), empty)
		o.header(&h)
		same("header", h)
		var x dag.Effect
		fill(rng, reflect.ValueOf(&x).Elem(), empty)
		o.effect(&x)
		same("effect", x)
		var r Resource
		fill(rng, reflect.ValueOf(&r).Elem(), empty)
		o.resource(&r)
		same("resource", r)
		nodes := make([]dag.Node, n%4)
		for i := range nodes {
			fill(rng, reflect.ValueOf(&nodes[i]).Elem(), empty)
		}
		parts, err := o.Definition("owner", nodes)
		if err != nil || len(parts) != 1 {
			t.Fatalf("%d parts, %v", len(parts), err)
		}
		same("definition", Slice[dag.Node]{ID: "owner.0", Items: nodes})
	}
}

func TestDefinition_dividesBetweenNodes(t *testing.T) {
	t.Parallel()
	nodes := make([]dag.Node, 7)
	for i := range nodes {
		nodes[i] = dag.Node{ID: fmt.Sprint(i), Command: strings.Repeat("x", i*100<<10)}
	}
	writes, err := new(Encoder).Definition("owner", nodes)
	if err != nil {
		t.Fatal(err)
	}
	var got []dag.Node
	for n, w := range writes {
		if err := canonical.Check(w.Body); err != nil || len(w.Body) > sliceBytes+1024 && n != len(writes)-1 {
			t.Errorf("part %d has %d bytes: %v", n, len(w.Body), err)
		}
		part, err := Definitions().Decode(store.Doc{Key: w.Key, Rev: 1, Body: w.Body})
		if err != nil || part.ID != SliceID("owner", n) || w.Key.ID != part.ID {
			t.Errorf("part %d is %q: %v", n, part.ID, err)
		}
		got = append(got, part.Items...)
	}
	if !reflect.DeepEqual(got, nodes) || len(writes) < 4 {
		t.Errorf("%d nodes in %d parts", len(got), len(writes))
	}
	if _, err := new(Encoder).Definition("owner", []dag.Node{{Command: strings.Repeat("x", store.MaxBody)}}); err == nil {
		t.Error("a node that no document can hold was stored")
	}
}

// BenchmarkEncode encodes the documents of a run with the writer and with encoding/json (ADR 4).
func BenchmarkEncode(b *testing.B) {
	now := time.UnixMicro(1_790_000_000_123_456).UTC()
	const uuid = "0193a0c0-0000-7000-8000-000000000001"
	task := dag.Task{Args: []string{}, Batch: true, Command: "create_server", CompletedAt: &now, CreatedAt: now,
		Dependencies: []string{uuid, uuid}, ID: uuid,
		Name: "server-1", Number: 1, Operation: "server-1", Run: uuid, StartedAt: &now, State: "done", User: "ann",
		Steps: []dag.StepState{{Attempt: uuid, Ended: true, Kind: "do", State: "done", Tries: 1,
			Step: dag.Step{Action: "create_server", Name: "server-1", Params: map[string]string{"plan": "small", "zone": "z1"},
				Provider: "noop"}}}}
	header := dag.Header{CreatedAt: now, ID: uuid, Kind: dag.Batch, Name: "batch", Owner: uuid, ParallelLimit: 10, Slices: 1,
		StartedAt: &now, State: "running", UpdatedAt: now}
	var o Encoder
	for name, c := range map[string]struct {
		writer func()
		json   any
	}{
		"task":   {func() { o.task(&task) }, &task},
		"header": {func() { o.header(&header) }, &header},
	} {
		b.Run(name+"/writer", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				o.Reset()
				c.writer()
			}
		})
		b.Run(name+"/json", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := canonical.Make(c.json); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

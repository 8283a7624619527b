package store

import (
	"errors"
	"maps"
	"slices"
	"testing"
)

func judgeSchema() Schema {
	return Schema{Service: "test", Kinds: []Kind{{Name: "task", Indexes: []string{"state"}, Counted: []string{"state"}}}}
}

func putTask(id string, e Expect, state string) Write {
	return Write{Key: Key{"task", id}, Expect: e, Body: []byte(`"` + id + `"`), Index: []IndexKey{{"state", state}}}
}

func entries(stream string, n int) []Append {
	return slices.Repeat([]Append{{Stream: stream, Body: []byte("x")}}, n)
}

// A group behaves as its batches would one by one: losers leave no trace, later ones see the
// winners.
func TestJudge_groupEqualsOneByOne(t *testing.T) {
	t.Parallel()
	groupEqualsOneByOne(t, Judgement{})
}

// A judgement in the memory of another shows nothing of it, refusals and counters included.
func TestJudge_inSpentMemory(t *testing.T) {
	t.Parallel()
	g := Baseline{Number: 3, Heads: map[string]uint64{"other": 2}, Lookup: func(Key) (Known, error) { return Known{}, nil }}
	refused := Batch{Writes: []Write{putTask("z", At(1), "x")}}
	spent, err := Judge(judgeSchema(), g, []Batch{
		refused, {Writes: []Write{putTask("a", Any(), "x"), putTask("q", Any(), "run")}, Appends: entries("other", 9)}, refused, refused,
		refused, refused,
	})
	if err != nil {
		t.Fatal(err)
	}
	groupEqualsOneByOne(t, spent)
}

func groupEqualsOneByOne(t *testing.T, spent Judgement) {
	t.Helper()
	known := map[Key]Known{{"task", "a"}: {Rev: 5, Index: []IndexKey{{"state", "old"}}}}
	var asked []string
	g := Baseline{Number: 40, Reuse: spent, Heads: map[string]uint64{"events": 7}, Lookup: func(k Key) (Known, error) {
		asked = append(asked, k.ID)
		return known[k], nil
	}}
	j, err := Judge(judgeSchema(), g, []Batch{
		{Writes: []Write{putTask("a", At(5), "run")}, Appends: entries("events", 2)},
		{Writes: []Write{putTask("b", Absent(), "run"), putTask("a", At(5), "lost")}, Appends: entries("events", 1)},
		{Writes: []Write{putTask("a", At(41), "done"), putTask("b", Absent(), "run")}, Appends: entries("audit", 1)},
		{Writes: []Write{{Key: Key{"task", "b"}, Expect: At(42), Action: Delete}, {Key: Key{"task", "c"}, Expect: Absent(), Action: Check}},
			Appends: entries("events", 1)},
		{Writes: []Write{putTask("c", At(9), "never")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []CommitResult{{Receipt: Receipt{41, []uint64{8, 9}}}, {Err: ErrConflict}, {Receipt: Receipt{42, []uint64{1}}},
		{Receipt: Receipt{43, []uint64{10}}}, {Err: ErrConflict}}
	if len(j.Results) != len(want) {
		t.Fatalf("%d verdicts", len(j.Results))
	}
	for i, v := range j.Results {
		if v.Receipt.Rev != want[i].Receipt.Rev || !slices.Equal(v.Receipt.Seqs, want[i].Receipt.Seqs) || !errors.Is(v.Err, want[i].Err) {
			t.Errorf("batch %d: %+v, want %+v", i, v, want[i])
		}
	}
	if !slices.Equal(asked, []string{"a", "b", "c"}) {
		t.Errorf("looked up %v, want each key once", asked)
	}
	if j.Number != 43 || !maps.Equal(j.Heads, map[string]uint64{"events": 10, "audit": 1}) || len(j.Appends) != 4 {
		t.Errorf("number %d, heads %v, %d entries", j.Number, j.Heads, len(j.Appends))
	}
	if len(j.Finals) != 1 || j.Finals[0].Key.ID != "a" || j.Finals[0].Now.Rev != 42 || j.Finals[0].Was.Rev != 5 ||
		j.Finals[0].Now.Index[0].Value != "done" {
		t.Errorf("finals %+v: want a only, b came and went", j.Finals)
	}
	if !maps.Equal(j.Counts, map[CounterKey]int64{{"task", "state", "old"}: -1, {"task", "state", "done"}: 1}) {
		t.Errorf("counts %v", j.Counts)
	}
}

func TestJudge_lookupFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	g := Baseline{Lookup: func(Key) (Known, error) { return Known{}, broken }}
	if _, err := Judge(judgeSchema(), g, []Batch{{Writes: []Write{putTask("a", Any(), "x")}}}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestSchema_check(t *testing.T) {
	t.Parallel()
	if err := judgeSchema().Check(); err != nil {
		t.Error(err)
	}
	for name, s := range map[string]Schema{
		"no service":    {},
		"upper case":    {Service: "x", Kinds: []Kind{{Name: "Task"}}},
		"kind twice":    {Service: "x", Kinds: []Kind{{Name: "a"}, {Name: "a"}}},
		"index twice":   {Service: "x", Kinds: []Kind{{Name: "a", Indexes: []string{"i", "i"}}}},
		"count unknown": {Service: "x", Kinds: []Kind{{Name: "a", Counted: []string{"i"}}}},
	} {
		if s.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Trims move the low end up only, at most to the head that the group leaves, and those of refused
// batches not at all.
func TestJudge_trims(t *testing.T) {
	t.Parallel()
	trim := func(stream string, through uint64) []Trim { return []Trim{{Stream: stream, Through: through}} }
	g := Baseline{Number: 1, Heads: map[string]uint64{"events": 10, "audit": 5}, Lows: map[string]uint64{"events": 3},
		Lookup: func(Key) (Known, error) { return Known{}, nil }}
	j, err := Judge(judgeSchema(), g, []Batch{
		{Trims: trim("events", 2)},
		{Trims: trim("events", 7)},
		{Trims: trim("events", 4)},
		{Writes: []Write{putTask("a", At(9), "x")}, Trims: trim("audit", 5)},
		{Appends: entries("new", 2), Trims: trim("new", 9)},
		{Appends: entries("new", 1)},
		{Trims: trim("unknown", 9)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]uint64{"events": 7, "new": 2}; !maps.Equal(j.Lows, want) || j.Heads["new"] != 3 || j.Number != 7 {
		t.Errorf("lows %v, heads %v, number %d; want lows %v", j.Lows, j.Heads, j.Number, want)
	}
}

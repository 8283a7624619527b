package crash

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// effects holds the provider's own records against the ledger: every accepted server exists, none
// was made twice.
func (w *world) effects() {
	w.t.Helper()
	ids := map[string]map[string]bool{}
	w.lines(w.state, func(raw []byte) error {
		var line struct {
			Server struct{ ID, Name string } `json:"server"`
		}
		err := json.Unmarshal(raw, &line)
		if ids[line.Server.Name] == nil {
			ids[line.Server.Name] = map[string]bool{}
		}
		ids[line.Server.Name][line.Server.ID] = true
		return err
	})
	created := map[string]int{}
	w.lines(w.calls, func(raw []byte) error {
		var call struct {
			Action, Name string
			Effect       bool
		}
		err := json.Unmarshal(raw, &call)
		if call.Action == "create" && call.Effect {
			created[call.Name]++
		}
		return err
	})
	for name := range w.all().servers {
		if len(ids[name]) != 1 {
			w.t.Errorf("server %s exists %d times", name, len(ids[name]))
		}
	}
	for name, n := range created {
		if n > 1 {
			w.t.Errorf("server %s was created %d times", name, n)
		}
	}
}

// lines calls see for every line of a file of the provider.
func (w *world) lines(path string, see func([]byte) error) {
	w.t.Helper()
	raw, err := os.ReadFile(path)
	if err == nil {
		err = eachLine(raw, see)
	}
	if err != nil {
		w.t.Errorf("%s: %v", filepath.Base(path), err)
	}
}

// eachLine calls see for every line and returns all that is wrong with them. The provider writes
// each with one call and before it answers. Very rarely a kill cuts such a write where a memory
// page ends; then the call had no answer, and the provider, which is started after every kill
// before its files are read, has cut the rest off. So no residue of kills is expected here: a line
// that is cut, or none, is evidence that is missing.
func eachLine(raw []byte, see func([]byte) error) error {
	if len(raw) == 0 {
		return errors.New("the provider saw nothing")
	}
	var wrong []error
	for line := range bytes.Lines(raw) {
		err := see(line)
		if !bytes.HasSuffix(line, []byte("\n")) {
			err = errors.New("cut short")
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%w: %.300s", err, line))
		}
	}
	return errors.Join(wrong...)
}

// TestEachLine_evidenceThatIsMissingIsAFault is about the judge itself, which must not take half of
// the records for all.
func TestEachLine_evidenceThatIsMissingIsAFault(t *testing.T) {
	long := `{"name":"` + strings.Repeat("x", 100_000) + `"}`
	for _, c := range []struct {
		name, raw string
		lines     int
		ok        bool
	}{
		{"whole lines", "{}\n{}\n", 2, true}, {"a long line between", "{}\n" + long + "\n{}\n", 3, true},
		{"a cut last line", "{}\n{", 2, false}, {"a last line without its end", "{}\n{}", 2, false},
		{"two lines in one", "{}\n{\"a\":{}\n{}\n", 3, false}, {"nothing", "", 0, false},
	} {
		seen := 0
		err := eachLine([]byte(c.raw), func(line []byte) error {
			seen++
			return json.Unmarshal(line, &struct{}{})
		})
		if seen != c.lines || (err == nil) != c.ok {
			t.Errorf("%s: %d lines were seen, want %d; error %v, want one: %v", c.name, seen, c.lines, err, !c.ok)
		}
	}
}

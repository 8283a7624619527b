package provider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err  error
		want dag.Class
	}{
		{fmt.Errorf("create: %w", Errorf(dag.Quota, "no more")), dag.Quota},
		{fmt.Errorf("create: %w", context.DeadlineExceeded), dag.TimedOut},
		{context.Canceled, dag.Stopped},
		{Begun(fmt.Errorf("create: %w", context.Canceled)), dag.UnknownOutcome},
		{Begun(context.DeadlineExceeded), dag.TimedOut},
		{errors.New("odd"), dag.Transient},
	} {
		if got := Classify(c.err); got.Class != c.want {
			t.Errorf("Classify(%v) = %s, want %s", c.err, got.Class, c.want)
		}
	}
	if Classify(nil) != nil {
		t.Error("no error has a class")
	}
}

// TestClassify_tellsNoPathOfThisMachine: what a failure says is shown to everybody who may read the
// task.
func TestClassify_tellsNoPathOfThisMachine(t *testing.T) {
	_, open := os.Open("/no/such/file")
	for _, err := range []error{open, fmt.Errorf("state: %w", open), os.Rename("/no/such/file", "/no/such/other")} {
		e := Classify(err)
		if strings.Contains(e.Message, "/no/such") || !strings.Contains(e.Message, "no such file or directory") ||
			e.Class != dag.Transient {
			t.Errorf("%v is told as %s: %s", err, e.Class, e.Message)
		}
		if !strings.Contains(e.Error(), "/no/such") {
			t.Errorf("the log does not get the path: %v", e)
		}
	}
}

func TestClassOf_whatRanOutComesBack(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "dd: error writing 'x': No space left on device": true, "fork/exec /bin/sh: too many open files": true,
		"sh: 0: Cannot fork": true, "sh: 1: echo: echo: I/O error": true,
		"cat: x: Permission denied": false, "No space left on device" + strings.Repeat("x", scarceTail): false,
		"sh: 1: Syntax error": false,
	} {
		if got := ClassOf([]byte(text)) == dag.Transient; got != want {
			t.Errorf("ClassOf(%.60q) is transient: %v, want %v", text, got, want)
		}
	}
}

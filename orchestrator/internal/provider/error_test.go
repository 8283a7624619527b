package provider

import (
	"context"
	"errors"
	"fmt"
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

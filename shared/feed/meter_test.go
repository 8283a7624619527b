package feed

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

// away is a store that takes no commit.
type away struct {
	store.DB
	err error
}

func (a away) Commit(context.Context, store.Batch) (store.Receipt, error) {
	return store.Receipt{}, a.err
}

// TestMeter_tellsWhatKeepsCommitsFromTheStore: a conflict is no fault of the store, so alerts can
// leave it out.
func TestMeter_tellsWhatKeepsCommitsFromTheStore(t *testing.T) {
	t.Parallel()
	h, r := newHub(), obs.NewRegistry()
	h.Meter(r, "x")
	emit(t, h, 1)
	healthy := h.DB
	for _, err := range []error{
		fault.New(fault.Conflict, "store.conflict", "c"), fault.New(fault.Unavailable, "store.full", "f"), store.ErrUnavailable,
		store.ErrUnavailable.Because(context.Canceled),
	} {
		h.DB = away{healthy, err}
		_, _ = h.Commit(t.Context(), store.Batch{})
	}
	h.DB = storetest.Faulty(healthy, storetest.At(1, storetest.Before))
	_, _ = h.Commit(t.Context(), store.Batch{})
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		"x_store_commit_seconds_count 1", `x_store_commit_failures_total{reason="conflict"} 1`, `x_store_commit_failures_total{reason="full"} 1`,
		`x_store_commit_failures_total{reason="unavailable"} 2`, `x_store_commit_failures_total{reason="cancelled"} 1`,
		`x_store_commit_failures_total{reason="other"} 0`,
	} {
		if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
			t.Errorf("%s is not shown:\n%s", line, w.Body)
		}
	}
}

package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/store"
)

func TestInventorySlices_holdLargeFactsAndEveryRowOnce(t *testing.T) {
	t.Parallel()
	for rows, facts := range map[int]string{0: "", 1: "x", 450: "x", 300: strings.Repeat("\x01", 15<<10)} {
		var all []Resource
		for i := range rows {
			all = append(all, Resource{Kind: "server", Name: fmt.Sprint(i), Provider: "p", Facts: map[string]string{"f": facts}})
		}
		writes, err := inventorySlices("c", all)
		if err != nil || len(writes) == 0 {
			t.Fatalf("%d rows: %d slices, %v", rows, len(writes), err)
		}
		found := 0
		for n, w := range writes {
			found += strings.Count(string(w.Body), `"kind":"server"`)
			if len(w.Body) > store.MaxBody || w.Key.ID != sliceID("c", n) {
				t.Errorf("%d rows: slice %s has %d bytes", rows, w.Key.ID, len(w.Body))
			}
		}
		if found != rows {
			t.Errorf("%d rows, %d in slices", rows, found)
		}
	}
}

package feed

import (
	"encoding/json"

	"github.com/provisioning-platform/platform/shared/store"
)

// Items decodes a page of a stream whose entries are all of one type; number puts the sequence of
// an entry into its item. It returns the items, never nil, and the sequence of the last one, or the
// head of the stream when the page has none.
func Items[T any](page store.Entries, number func(item *T, seq uint64)) (items []T, last uint64, err error) {
	items, last = make([]T, 0, len(page.Entries)), page.Head
	for _, e := range page.Entries {
		var item T
		if err := json.Unmarshal(e.Body, &item); err != nil {
			return nil, 0, err
		}
		number(&item, e.Seq)
		items, last = append(items, item), e.Seq
	}
	return items, last, nil
}

package store

import "github.com/provisioning-platform/platform/shared/fault"

// Format is the version of what a store that lasts holds: the layouts of the drivers and the
// documents of the services. A driver writes it into a new store and opens no store of another
// format. Format 3 keeps what a rollback needs in documents of its own, and sums; format 4 keeps
// the events of runs with their metadata last, as frames end (decision 67); format 5 finds servers
// by infra, provider and state.
const Format = "5"

// CheckFormat returns a fault when a store was written in another format than Format.
func CheckFormat(found string) error {
	if found == Format {
		return nil
	}
	if found == "" {
		found = "before 3"
	}
	return fault.New(fault.Unavailable, "store.format",
		"the store was written in format %s, this program reads format %s: use the program that wrote it, or start with an empty store",
		found, Format)
}

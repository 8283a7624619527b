package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// PageFlags declares the paging flags of a list. What no page can be is a usage error that says
// what can.
func PageFlags(f *Flags, p *client.Page) {
	p.Limit, p.Offset, p.After = 50, 0, ""
	f.Var(&between{&p.Limit, 1, store.MaxPage}, "limit", fmt.Sprintf("rows at most (1 to %d)", store.MaxPage))
	f.Var(&between{&p.Offset, 0, maxOffset}, "offset", "rows to skip")
	f.Var((*rowID)(&p.After), "after", "go on behind the row with this id")
}

// maxOffset is the most that --offset takes; the service says how deep a list may be walked into.
const maxOffset = 1<<31 - 1

// between is a flag that takes a whole number from least to most.
type between struct {
	value       *int
	least, most int
}

func (b *between) String() string {
	if b.value == nil { // pflag asks a zero value what it prints
		return "0"
	}
	return strconv.Itoa(*b.value)
}

func (b *between) Type() string { return "int" }

func (b *between) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < b.least || n > b.most {
		return fmt.Errorf("it must be a whole number from %d to %d", b.least, b.most)
	}
	*b.value = n
	return nil
}

// rowID is a flag that takes the id of a row. A service begins a list at any text, because the row
// may be gone meanwhile, and would answer a typing error with an empty list.
type rowID string

func (r *rowID) String() string { return string(*r) }

func (r *rowID) Type() string { return "ID" }

func (r *rowID) Set(text string) error {
	if *r = rowID(id.Canonical(text)); text != "" && !id.Valid(string(*r)) {
		return errors.New("it is no id of a row; take the one that the page before ends with: \"the next: --after ID\"")
	}
	return nil
}

// checkValues is a usage error when a flag that was given is none of its values, which it lists. A
// value in other letters becomes the one that is meant; an empty one is as good as none.
func checkValues(cmd *cobra.Command, values map[string][]string) error {
	for name, known := range values {
		flag := cmd.Flags().Lookup(name)
		if flag == nil || !flag.Changed {
			continue
		}
		list, isList := flag.Value.(pflag.SliceValue)
		given := []string{flag.Value.String()}
		if isList {
			given = list.GetSlice()
		}
		for i, text := range given {
			at := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, text) })
			switch {
			case at >= 0:
				given[i] = known[at]
			case text != "":
				return Usage("--%s is one of %s, not %q", name, strings.Join(known, ", "), text)
			}
		}
		if isList {
			_ = list.Replace(given) // of texts: it takes all
		} else if err := flag.Value.Set(given[0]); err != nil {
			return err
		}
	}
	return nil
}

//go:build !plainstore

package known

// Each constant removes one trick of this package when it is false; the build tag plainstore
// removes all.
const (
	cacheRevisions = true
	filterIDs      = true
)

// Tricks says whether the tricks of this package are in force.
const Tricks = true

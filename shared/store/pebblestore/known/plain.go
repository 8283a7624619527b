//go:build plainstore

package known

const (
	cacheRevisions = false
	filterIDs      = false
)

// Tricks says whether the tricks of this package are in force.
const Tricks = false

// Package feed carries what was committed to those who want to know: Hub wakes readers after a
// commit, Follower hands a stream to a function after a stored cursor, Tail shares the newest
// entries of a stream among many readers.
//
// It owns cursors (documents of kind "cursor") and nothing of what the entries mean. A wake-up
// carries no data, so a lost one costs nothing: everybody reads the store. The one rule a caller
// must know: a Follower delivers at least once, in order; its function must bear to see an entry
// twice.
package feed

// Package pebblestore is the embedded store: one folder, one process, every commit synced to disk.
//
// One goroutine, the committer, is the only writer: it drains all waiting batches, lets store.Judge
// decide them, writes the winners as one Pebble batch, syncs once, shows the new state to readers
// and answers everybody. Readers work on a snapshot that is replaced after each sync, because
// Pebble shows a commit before it is durable. The newest entries of each stream are kept in memory,
// where its followers find them.
//
// The package owns the layout below and the options of the engine; it owns no rule of the contract:
// those are in store and held by storetest. The one rule a caller must know: when a sync fails the
// store writes nothing any more; every waiting and later commit is refused until it is opened anew,
// and reads show what was durable before.
//
// # Layout
//
// The first byte says what a key is; 0 joins its texts, none of which contains it; numbers are
// big-endian and eight bytes long.
//
//	m name                          about the store: number (last commit), format, counted (and summed)
//	d kind 0 id                     revision, index keys, body
//	i kind 0 index 0 value 0 id     nothing; the index in its order
//	c kind 0 index 0 value          how many documents; index and value are empty for the whole kind
//	s kind                          the sum of the digests of its bodies, 32 bytes, for a kind that is summed
//	e stream 0 sequence             the entry
//	t stream                        the last trimmed sequence
//
// Index keys in a document: their number in one byte, then name and value of each, both behind
// their length as a varint. They stand in front of the body, so one read of the head of a value
// tells the committer all it needs. The head of a stream is its last key, or the last trimmed
// sequence when nothing is kept.
package pebblestore

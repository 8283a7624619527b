// Package surrealstore is the store driver over a SurrealDB server of version 3 or later.
//
// It owns the connection (dialled anew after any fault), the tables of one service in one database,
// and the only committer that writes them in this process. It does not own the judging of commits
// (store), the server, or its durability: the server must sync every commit, and because that
// cannot be asked over the wire the operator states it (Options.Sync).
//
// How things lie in the database, for operators who query it: one table a kind, `<service>_<kind>`,
// rows {id, k: the id as text, rev, ix: {index: value ␀ id}, body: the document as a native
// object}; `<service>__entry` holds the stream entries as exact text under [stream, sequence],
// `<service>__head` the commit number and the head of each stream, `<service>__count` the counters,
// `<service>__call` one record for each call that committed, for at least ten minutes.
//
// A commit is one guarded query: the head and all revisions are compared as values; equal,
// everything is written; else nothing is, and the reply says what is there, so that the group is
// judged again. One process at a time writes a database: the lease document names it, and each
// commit compares the lease's epoch, so that who lost the lease loses its next commit (decision
// 43).
//
// The rule a caller must know: what a person or program put in never becomes query text. Texts are
// made in text.go from the schema's validated names, once, at open; everything else is bound.
package surrealstore

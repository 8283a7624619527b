// Package run owns the documents of the orchestrator: runs with their definitions, tasks and
// effects, the inventory, and checkpoints. It holds their tables, index keys and bytes, writes a
// dag.Change as documents, and reads runs back.
//
// Everything here is a function over a store.DB: no goroutine, no mutex, no clock. Package dag
// decides what a run becomes, package engine commits it, package rollback finds what is to be
// undone, package history prunes.
//
// # Effects
//
// A task's document is for people. What undoes a step is the document of its effect (kind "effect",
// id "<task id>.<step>", dag.Effect, about 1 KiB at most): the step, what it recorded for its
// inverse, the resources that it made, what its operation depends on, and how far it is undone. The
// engine writes it
//
//   - with the commit in which the step takes effect;
//   - when the operation ends, once more for the first effect that stands. This effect is the lead
//     of the operation: it gets the operation's era and the index key "stands". So that index has
//     one row for each operation that stands, and its counters count operations by era;
//   - while a rollback undoes it, and a last time when it is undone. It keeps no index key then,
//     and its revision is the commit that undid it. When a lead is undone and another effect of its
//     operation still stands, that one becomes the lead.
//
// An operation stands since the commit that made its lead one: dag.Effect.Since, or the revision of
// the document. The cut of a checkpoint is the number of a commit; a rollback to the checkpoint
// undoes what stands since a later commit.
//
// Ended runs with their definitions, tasks and failures may be deleted at any time, also during a
// rollback: whoever looks for them goes on without them. Effects stay until no checkpoint needs
// them.
package run

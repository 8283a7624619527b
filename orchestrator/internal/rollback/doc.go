// Package rollback decides what a rollback undoes and in which order. It takes checkpoints, judges
// the request of a rollback, and finds wave by wave the operations to undo.
//
// It drives nothing: package engine submits the run of a rollback, ends what runs before it, and
// asks Planner.Next for each wave. Package run has the documents, and says there what an effect, a
// lead and an era are.
package rollback

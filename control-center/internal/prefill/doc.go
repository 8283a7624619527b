// Package prefill fills the prefill lanes of subscriptions with the objects that exist, which it
// reads from the source of each realm.
//
// It owns the sources and the pace: each subscription has a job of its own, so that one whose
// source fails delays nobody. How far a job is stands in its queue (subscription.Queue.Prefill) and
// moves in the commit that adds what was read, so a job goes on where it was after an error and
// after a restart. The one rule a caller must know: what a source returns may be older than what
// was published meanwhile; the queue delivers that afterwards.
package prefill

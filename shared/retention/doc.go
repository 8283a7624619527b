// Package retention removes history that is not kept any longer: it asks each class of rows what
// is over, commits the removal with a count of it, and writes one audit entry a day that says how
// much went.
//
// It owns the rule of age and count, the tally of everything that was ever pruned (so totals do
// not fall with the rows), the class of a stream's entries, and what happens to a follower that
// is too far behind. It does not own other classes: each is made by the package that owns its
// documents. The one rule a caller must know: a class names what is to go and never commits; what
// must stay is the class's own business, and is judged again in the commit by the revisions that
// its batch demands.
package retention

// Package body reads and writes JSON bodies by the rules of the wire contract (decision 19): UTF-8,
// no member twice, no unknown member, limits of depth, members and elements that hold before memory
// is spent, and a place for each fault. It is the only importer of the JSON library.
//
// It owns what a Go type looks like as JSON (Shape), the rules in the tags of a field (Rules),
// Decode, Encode, and the Admission of bodies to memory. It knows no request, no route and no
// status. The one rule a caller must know: a Shape that Decode gets was made by Shapes.Input.
package body

// Package directory is the form of a directory event: what a message says, and how it is stored as
// an entry of the stream Stream, whose sequence is the message's number.
//
// It owns no store and delivers nothing (package subscription does). The one rule a caller must
// know: a body is kept byte for byte, for numbers that no float holds and for texts as their
// publisher wrote them.
package directory

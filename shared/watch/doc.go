// Package watch shows the stream "events" over WebSocket: a reader of the stream per connection, from
// any kept sequence on, without a gap, and the client for it.
//
// It owns the handshake, the socket's limits and life, and the client messages (auth, subscribe,
// unsubscribe, ping). It owns no queue: a connection is a place in the stream, and whoever is slow reads
// later or is cut off; nothing waits for it. Who may see what is asked of functions it is given. The one
// rule a caller must know: run Handler.Run beside the server, or nothing is delivered.
package watch

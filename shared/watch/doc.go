// Package watch sends the stream "events" over WebSocket: one reader of the stream a connection,
// from any kept sequence on, without a gap. It also has the client for it.
//
// It owns the handshake, the tickets that open a socket once, the limits of the sockets, and the
// client messages (auth, subscribe, unsubscribe, ping). It owns no queue: a connection is a cursor
// in the stream. A slow client reads later, and one that takes nothing for 10 s is cut off; no
// other client waits for it. Config.Verify, Alive and Allowed decide who may see what;
// Config.Categories and Labels say what an event is about.
//
// The one rule a caller must know: run Handler.Run beside the server, or nothing is delivered.
package watch

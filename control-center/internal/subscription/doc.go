// Package subscription owns the queues of directory events (contracts/provisioning-api.md): who
// wants which topics, what was published, and how far each subscription has come.
//
// A message is stored once, as an entry of the stream directory.Stream, whose sequence is the
// message's number. Router gives each message a row in the list of its topic. A queue holds no
// messages: it is a place in the lists of the topics that its subscription wants, so publishing
// costs the same however many subscriptions there are, and a queue of a million waiting messages
// costs what an empty one costs.
//
// A delivery is a lease in memory; the acknowledgement is the commit that moves the queue's place.
// The package knows no HTTP and no source of a prefill. The one rule a caller must know: a number
// that was delivered once names the same message until it is acknowledged, also after a restart.
package subscription

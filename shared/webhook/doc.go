// Package webhook sends what was committed to receivers over HTTP: endpoints (who wants which
// events, at which URL), signatures, deliveries with their attempts, and a dialer that does not
// reach into private networks.
//
// Each active endpoint has a follower of the stream, which turns the entries that the endpoint
// asked for into documents of kind "webhook_delivery", and a sender, which takes them one after the
// other. So a receiver that is dead delays nobody else, and what is undelivered survives a restart.
//
// The package does not know what an entry means: the service gives Config.Render. The one rule a
// receiver must know: deliveries are at least once; the id of a delivery is the same in every
// repetition, so whoever must not act twice remembers ids. Receivers may use Verify and VerifyBody.
package webhook

package change

// Type is the name of an event on the wire: a singular noun and what happened to it.
type Type string

// The types of events. The comment of each one says what happened, which object the event names,
// and which members of Data it has; tests/arch keeps them in testdata/identity_events.golden.
const (
	UserCreated         Type = "user.created"          // an account was made; user id, username, roles, enabled
	UserUpdated         Type = "user.updated"          // address or roles of an account were written; user id, username, changed, roles
	UserPasswordChanged Type = "user.password_changed" // an account has another password and its sessions are over; user id, username
	UserEnabled         Type = "user.enabled"          // an account may sign in again; user id, username
	UserDisabled        Type = "user.disabled"         // an account is disabled and its sessions are over; user id, username, reason
	UserRecovered       Type = "user.recovered"        // an account came back with a backup and its sessions are over; user id, username
	UserDeleted         Type = "user.deleted"          // an account is gone with its factor and its sessions; user id, username

	SessionCreated        Type = "session.created"         // somebody signed in; session id, user_id, username, amr
	SessionRefreshed      Type = "session.refreshed"       // a session has new tokens; session id, user_id, username
	SessionRefreshRefused Type = "session.refresh_refused" // a token was not exchanged for new ones; session id if known, user_id, reason
	SessionRevoked        Type = "session.revoked"         // one session is over before its time; session id, user_id, username, reason
	LoginFailed           Type = "login.failed"            // a sign-in attempt was refused; user id if known, username, reason
	LoginIncomplete       Type = "login.incomplete"        // the password was right and the one-time code is missing; user id, username

	MFAStarted      Type = "mfa.started"       // an account was shown a secret that counts after its first code; user id
	MFAEnrolled     Type = "mfa.enrolled"      // an account uses a factor now and its other sessions are over; user id, username
	MFAFailed       Type = "mfa.failed"        // the first code of a new factor was wrong; user id
	MFARemoved      Type = "mfa.removed"       // an account has no factor any more and its sessions are over; user id, username
	MFARecoveryUsed Type = "mfa.recovery_used" // somebody signed in with a recovery code; user id, username, codes_left

	KeyAnnounced Type = "key.announced" // the keys that verify tokens were named to the orchestrator anew; id of the key that signs
	KeyRotated   Type = "key.rotated"   // another key signs tokens from now on; id of that key
	KeyRemoved   Type = "key.removed"   // a signing key and all that it signed are worth nothing any more; id of the removed key

	ServiceAccountCreated  Type = "serviceaccount.created"  // a service account was made; id, name, roles, enabled, user_id of its owner
	ServiceAccountUpdated  Type = "serviceaccount.updated"  // members of one were written; id, name, changed, roles, user_id
	ServiceAccountEnabled  Type = "serviceaccount.enabled"  // one may act again; id, name, user_id of its owner
	ServiceAccountDisabled Type = "serviceaccount.disabled" // one may not act and its tokens are revoked; id, name, user_id
	ServiceAccountDeleted  Type = "serviceaccount.deleted"  // one is gone with its tokens; id, name, user_id of its owner

	TokenCreated Type = "token.created" // an API token was made; token id, name, user_id of its owner
	TokenRotated Type = "token.rotated" // an API token has a successor and ends soon; token id, name, user_id of its owner
	TokenRevoked Type = "token.revoked" // an API token is worth nothing any more; token id, name, user_id of its owner, reason

	PolicyChanged Type = "policy.changed" // a policy or a built-in role is new or changed; policy id or built-in, name, version
	PolicyDeleted Type = "policy.deleted" // a policy is gone; policy id, version

	SubscriptionCreated Type = "subscription.created" // somebody may fetch directory events of some topics; name
	SubscriptionUpdated Type = "subscription.updated" // topics, password or options of a subscription are other ones; name, changed
	SubscriptionRewound Type = "subscription.rewound" // a subscription gets messages again that it had; name
	DeadLetterRequeued  Type = "letter.requeued"      // a subscription gets a dead letter again; name of the subscription
	DeadLetterDropped   Type = "letter.dropped"       // a dead letter is gone for good; name of the subscription
	PrefillRestarted    Type = "prefill.restarted"    // a subscription gets all objects anew; name of the subscription
	SubscriptionDeleted Type = "subscription.deleted" // a subscription is gone with its queue; name

	ClientCreated   Type = "client.created"   // a service may call with tokens that its own key signs; client id, name
	ClientCertified Type = "client.certified" // a service has another certificate for the service-to-service port; client name

	WebhookCreated    Type = "webhook.created"     // a receiver of identity events was named; webhook id
	WebhookUpdated    Type = "webhook.updated"     // its URL, events, description or secret is another one; webhook id
	WebhookPaused     Type = "webhook.paused"      // it is not sent to any more; webhook id, reason
	WebhookResumed    Type = "webhook.resumed"     // it is sent to again; webhook id
	WebhookDeleted    Type = "webhook.deleted"     // it is gone with its deliveries; webhook id
	WebhookQueued     Type = "webhook.queued"      // somebody asked for a test or a redelivery; webhook id
	WebhookDeadLetter Type = "webhook.dead_letter" // a delivery is given up; webhook id, delivery_id, name of its event, reason
)

// Types returns all types of events.
func Types() []Type {
	return []Type{
		UserCreated, UserUpdated, UserPasswordChanged, UserEnabled, UserDisabled, UserRecovered, UserDeleted,
		SessionCreated, SessionRefreshed, SessionRefreshRefused, SessionRevoked, LoginFailed, LoginIncomplete,
		MFAStarted, MFAEnrolled, MFAFailed, MFARemoved, MFARecoveryUsed, KeyAnnounced, KeyRotated, KeyRemoved,
		ServiceAccountCreated, ServiceAccountUpdated, ServiceAccountEnabled, ServiceAccountDisabled, ServiceAccountDeleted,
		TokenCreated, TokenRotated, TokenRevoked,
		PolicyChanged, PolicyDeleted, ClientCreated, ClientCertified,
		SubscriptionCreated, SubscriptionUpdated, SubscriptionRewound, SubscriptionDeleted,
		PrefillRestarted, DeadLetterRequeued, DeadLetterDropped,
		WebhookCreated, WebhookUpdated, WebhookPaused, WebhookResumed, WebhookDeleted, WebhookQueued, WebhookDeadLetter,
	}
}

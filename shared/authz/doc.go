// Package authz decides who may do what. A Source (roles, services, policies as people write them)
// is compiled into a Set; an Authority holds the current Set and answers. casbin's model holds the
// rows and the role graph; an index of ours in front of them makes a decision independent of the
// number of policies; conditions are CEL, checked and bounded when they are compiled.
//
// An explicit Deny beats every Allow; an Allow of a policy and the default rights of a role allow
// alike; nothing else allows. It does not authenticate and does not know routes.
//
// The one rule a caller must know: whatever goes wrong, the answer is deny. A condition that fails
// to evaluate does not allow if it guards an Allow and denies if it guards a Deny.
package authz

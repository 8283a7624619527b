// Package provisioning speaks the Provisioning API of the directory
// (contracts/provisioning-api.md): its paths, Basic credentials, bodies and statuses, over the
// queues of package subscription.
//
// It owns the wire format and who may use which path; it keeps nothing. The one rule a caller must
// know: there is no 403 here. A credential that does not fit a path is answered 401, whatever else
// it is good for, because that is what the clients of the original expect.
package provisioning

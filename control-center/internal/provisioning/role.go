package provisioning

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
)

// Role is a user of the API that is known by configuration (contract 1.2). Without a password
// nobody is let in.
type Role struct {
	Name     string
	Password string
}

// is says whether a pair of name and password is this role's, in the same time for each wrong one.
func (r Role) is(name, password string) bool {
	given, want := sha256.Sum256([]byte(name+"\x00"+password)), sha256.Sum256([]byte(r.Name+"\x00"+r.Password))
	return subtle.ConstantTimeCompare(given[:], want[:]) == 1 && r.Password != ""
}

// errUnauthorized is the one answer to a credential that does not fit the path.
var errUnauthorized = fault.New(fault.Unauthenticated, "provisioning.unauthorized",
	"Unauthorized: this path takes another user name or password")

// claims returns who a caller is for the audit log: "provisioning:<user>" for a role, and
// "subscription:<name>" for a consumer, so that no subscription is named like a role.
func claims(kind, name string) token.Claims {
	return token.Claims{Kind: token.Access, Subject: kind + ":" + name, Username: name}
}

// The kinds of callers.
const (
	byRole     = "provisioning"
	byConsumer = "subscription"
)

// onlyRole lets in one role.
func (a *API) onlyRole(r Role) *web.Face {
	return face(func(_ context.Context, name, password string, req *http.Request) (token.Claims, error) {
		right := r.is(name, password)
		return a.guard(byRole, name, req, right, func() (bool, error) { return right, nil })
	})
}

// subscriber lets in the subscription in the path, and with orAdmin the administrator. Every pair
// whose password is looked at passes the guard: a path that counts no failures is one where the
// administrator's password can be guessed.
func (a *API) subscriber(orAdmin bool) *web.Face {
	return face(func(ctx context.Context, name, password string, req *http.Request) (token.Claims, error) {
		own, admin := name == pathName(req), orAdmin && name == a.Admin.Name
		if !own && !admin {
			return token.Claims{}, errUnauthorized
		}
		known := admin && a.Admin.is(name, password) || own && a.Subscriptions.Known(ctx, name, password)
		kind := byConsumer
		if admin && a.Admin.is(name, password) {
			kind = byRole
		}
		return a.guard(kind, name, req, known, func() (bool, error) {
			if known || !own {
				return known, nil
			}
			return a.Subscriptions.Authenticate(ctx, name, password)
		})
	})
}

// pathName returns the name in a path below /v1/subscriptions.
func pathName(r *http.Request) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/subscriptions/"), "/")
	return name
}

// longestName is that of a subscription; what is longer is not worth memory.
const longestName = 128

// guard checks a pair, unless name or address have failed too often just now. Meanwhile a pair that
// is right without a costly check is let in from an address from which this name was right before:
// wrong passwords of others keep no healthy client out, and whoever guesses has to wait.
func (a *API) guard(kind, name string, r *http.Request, right bool, check func() (bool, error)) (token.Claims, error) {
	address, _, _ := net.SplitHostPort(r.RemoteAddr)
	counted := name[:min(len(name), longestName)]
	byName, byAddress := key{"name " + counted, freeFailures}, key{"address " + address, freeAddress}
	usual := "from " + address + " " + counted
	if wait := a.failures.wait(a.Now(), byName, byAddress); wait > 0 && !(right && a.usual.has(usual)) {
		return token.Claims{}, errTooMany.After(wait)
	}
	ok, err := check()
	if err != nil {
		return token.Claims{}, err
	}
	if !ok {
		a.failures.add(a.Now(), byName, byAddress)
		return token.Claims{}, errUnauthorized
	}
	a.usual.add(usual)
	return claims(kind, name), nil
}

// errTooMany is the answer while a name or an address waits after wrong passwords.
var errTooMany = fault.New(fault.Throttled, "provisioning.throttled",
	"too many wrong passwords for this name or from this address; wait as Retry-After says")

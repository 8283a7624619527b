package arch

import (
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

// traps are the pitfalls of the fixed packages (reliability-bar 1.4), each with the tests that hold
// it shut. A test that is renamed or removed has to be replaced here by one that shows the same.
var traps = []struct{ trap, tests string }{
	{"gin believes X-Forwarded-For of everybody",
		"shared/web.TestClientAddress_believesOnlyTrustedProxies " +
			"shared/web.TestRateLimits_authenticationCountsByAddressWhateverIsForwarded " +
			"tests/security.TestForwarded_spoofedAddressesGainNothing"},
	{"gin logs ?token=", "shared/web.TestLog_oneLineARequestWithoutSecrets tests/security.TestCanaries_noSecretIsAnywhere"},
	{"gin binds lax JSON", "shared/web.TestDecode_table tests/security.TestBodies_strictJSON " +
		"tests/security.TestBodies_nothingIsAssignedInPassing"},
	{"encoding/json nests 10,000 deep", "shared/web.TestDecode_hostileStructure tests/security.TestBodies_strictJSON"},
	{"gin links quic-go and more",
		"tests/arch.TestModules_dependenciesAreFewNewAndExplained tests/arch.TestTraps_noLaxCallOfAFixedPackage"},
	{"casbin: a user named like a role has its rights",
		"shared/authz.TestTrap_aUserNamedLikeARoleHasNoneOfItsRights tests/security.TestNames_likeRolesGainNothing"},
	{"casbin: eval() runs methods of the request", "shared/authz.TestTrap_noTextOfAPolicyIsExecuted"},
	{"casbin: one bad row fails every decision", "shared/authz.TestTrap_oneBadRowDoesNotStopTheOthers"},
	{"casbin: the cached enforcer is stale",
		"shared/authz.TestTrap_nothingIsStaleAfterASwap tests/arch.TestTraps_noLaxCallOfAFixedPackage"},
	{"casbin: EnableEnforce(false) allows everything, a panic is an error",
		"shared/authz.TestTrap_faultsOfOursDeny tests/arch.TestTraps_noLaxCallOfAFixedPackage"},
	{"casbin: keyMatch takes .. for a name", "shared/authz.TestTrap_namesAreNotPaths tests/security.TestPaths_spellingsGainNothing"},
	{"otp: spaces are trimmed, a used code works again, the step is unknown",
		"control-center/internal/mfa.TestCheck_codeIsSixDigitsAndItsStepIsSpent " +
			"control-center/internal/session.TestSignIn_oneCodeInFiftyRequestsAtOnce tests/security.TestCodes_oneCodeOneSignIn " +
			"tests/security.TestCodes_spentInEverySpelling"},
	{"websocket: no limits, deadlines or pings, any origin, one writer, compression",
		"shared/watch.TestWatch_abuse shared/watch.TestWatch_slowReaderIsCutAndOthersAreNot shared/watch.TestWatch_endlessFragmentsEnd " +
			"shared/watch.TestWatch_refusedBeforeTheUpgrade tests/security.TestSocket_origins"},
	{"golang-jwt: no exp, any typ, crit, duplicates, malleable text",
		"shared/token.TestAttacks_areAllRefused shared/token.TestSigned_wrongClaimsAreRefused " +
			"shared/token.TestVerify_noVariantOfARevokedTokenPasses tests/security.TestTokens_attacksAreRefusedEverywhere " +
			"tests/security.TestTokens_goodSignatureWrongClaims"},
	{"surrealdb.go: connections never come back, panics, lost replies",
		"shared/store/surrealstore.TestLink_halfOpenIsNoticed shared/store/surrealstore.TestCommit_lostReplyIsSettled " +
			"shared/store/surrealstore.TestCommit_underFaults shared/store/surrealstore.TestOpen_oldServerIsRefused"},
	{"surrealdb.go: strings in queries", "shared/store/surrealstore.TestPoisonedTextsAreData " +
		"shared/store/surrealstore.TestTexts_areMadeInOnePlace"},
	{"x/mod below 0.40.0 verifies wrong tiles",
		"tests/arch.TestModules_dependenciesAreFewNewAndExplained shared/audit.TestProofs_verifyWithAnotherLibrary"},
}

// TestTraps_eachHasItsTests fails when a test that closes a trap is gone.
func TestTraps_eachHasItsTests(t *testing.T) {
	exists := map[string]bool{}
	for _, p := range load(t) {
		for _, f := range p.Files {
			for _, d := range f.AST.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && f.Test && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
					exists[p.Path+"."+fn.Name.Name] = true
				}
			}
		}
	}
	for _, trap := range traps {
		for _, name := range strings.Fields(trap.tests) {
			if !exists[name] {
				t.Errorf("%s: %s is gone", trap.trap, name)
			}
		}
	}
}

// lax are functions of the fixed packages that spring a trap, with what stands in their place.
var lax = map[string]map[string]string{
	"github.com/gin-gonic/gin": {"Default": "its logger writes the query", "Logger": "it writes the query",
		"LoggerWithConfig": "it writes the query", "LoggerWithFormatter": "it writes the query",
		"BasicAuth": "tokens only", "Recovery": "web answers panics itself"},
	"github.com/casbin/casbin/v2": {"NewCachedEnforcer": "stale", "NewSyncedCachedEnforcer": "stale",
		"NewSyncedEnforcer": "sets are swapped whole", "NewDistributedEnforcer": "sets are swapped whole"},
	"github.com/pquerna/otp/totp": {"Validate": "the step stays unknown", "ValidateCustom": "the step stays unknown"},
	"github.com/pquerna/otp/hotp": {"Validate": "ValidateCustom says how many digits"},
}

// laxMethods are methods whose name alone is enough in the package that owns the library.
var laxMethods = map[string][]string{
	"shared/web": {"ShouldBind", "ShouldBindJSON", "BindJSON", "Bind", "ClientIP", "RunTLS", "RunQUIC", "RunUnix", "RunFd",
		"MustBindWith", "ShouldBindWith"},
	"shared/authz": {"EnableEnforce", "EnableAutoSave", "LoadPolicy", "AddFunctionEval"},
	"shared/watch": {"EnableWriteCompression", "SetCompressionLevel"},
}

// TestTraps_noLaxCallOfAFixedPackage reads the product's sources for calls that are not to be made,
// and for imports that would bring in what gin links without need.
func TestTraps_noLaxCallOfAFixedPackage(t *testing.T) {
	banned := []string{"github.com/golang-jwt/", "github.com/dgrijalva/jwt-go", "github.com/quic-go/", "go.mongodb.org/", "encoding/gob",
		"plugin", "net/http/pprof", "expvar"}
	for _, p := range load(t) {
		if strings.HasPrefix(p.Path, "tests") {
			continue
		}
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			for _, imp := range f.Imports() {
				if slices.ContainsFunc(banned,
					func(b string) bool { return imp == b || strings.HasPrefix(imp, b) && strings.HasSuffix(b, "/") }) {
					t.Errorf("%s imports %s", f.Path, imp)
				}
			}
			for imp, symbols := range lax {
				for _, name := range slices.Sorted(maps.Keys(symbols)) {
					for _, at := range uses(f, imp, name) {
						t.Errorf("%s: %s of %s: %s", at, name, imp, symbols[name])
					}
				}
			}
			ast.Inspect(f.AST, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains(laxMethods[p.Path], sel.Sel.Name) {
					t.Errorf("%s: %s is not to be used", f.Fset.Position(sel.Pos()), sel.Sel.Name)
				}
				return true
			})
		}
	}
}

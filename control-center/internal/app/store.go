package app

import (
	"github.com/provisioning-platform/platform/control-center/internal/apitoken"
	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/control-center/internal/serviceaccount"
	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/control-center/internal/subscription"
	"github.com/provisioning-platform/platform/control-center/internal/tokens"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
	"github.com/provisioning-platform/platform/shared/webhook"
)

// Schema returns the kinds of documents that the control-center stores.
func Schema() store.Schema {
	var kinds []store.Kind
	for _, k := range [][]store.Kind{
		apitoken.Kinds(), audit.Kinds(), auditlog.Kinds(), bootstrap.Kinds(), feed.Kinds(), keys.Kinds(), mfa.Kinds(), policy.Kinds(),
		retention.Kinds(), revocation.Kinds(), serviceaccount.Kinds(), session.Kinds(), subscription.Kinds(), tokens.Kinds(), user.Kinds(),
		idempotency.Kinds(), webhook.Kinds(),
	} {
		kinds = append(kinds, k...)
	}
	return store.Schema{Service: "control_center", Kinds: kinds}
}

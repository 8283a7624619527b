package certificate

import (
	"context"
	"crypto/x509"
	"encoding/pem"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

var errRequest = fault.New(fault.Invalid, "certificate.request",
	"request is no certificate signing request in PEM that its own key has signed").
	With(fault.Field{Pointer: "/request", Message: "no certificate signing request"})

// Renew certifies the key that a signing request was made with, and records that. The names in the
// request do not count: an orchestrator gets the name of orchestrators.
func (a *Authority) Renew(ctx context.Context, request string) (Issued, error) {
	block, _ := pem.Decode([]byte(request))
	if block == nil {
		return Issued{}, errRequest
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || r.CheckSignature() != nil {
		return Issued{}, errRequest
	}
	issued, err := a.Orchestrator(r.PublicKey)
	if err != nil {
		return issued, err
	}
	act := change.New("certificate.issue", "services/"+token.Orchestrator, map[string]any{"expires": instant.Format(issued.Expires)})
	return issued, a.Changes.Commit(ctx, act, func(*store.Tx) error {
		act.Emit(change.ClientCertified, "", change.Data{Name: token.Orchestrator})
		return nil
	})
}

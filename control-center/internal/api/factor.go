package api

import (
	"context"

	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) factorRoutes() []web.Route {
	allow := func(action string) web.Permission { return web.Allow(action, "mfa").PersonOnly() }
	return []web.Route{
		{Method: "POST", Path: "/mfa/enroll/totp", Op: "enrollTOTP",
			Summary: "Start a one-time-code factor for the own account; needs a recent sign-in", Permission: allow("enroll_own"),
			Audit: "mfa.enrol", ShowsSecret: true, Handle: web.To(a.enrol)},
		{Method: "POST", Path: "/mfa/verify", Op: "verifyTOTP",
			Summary: "Prove the started factor with a code and put it in use; all other sessions of the account end",
			Refuses: []fault.Kind{fault.NotFound}, Permission: allow("verify_own"), Limit: web.Authentication,
			Audit: "mfa.verify", Handle: web.Do("MFA enabled; refresh your token or sign in again", a.verifyFactor)},
		{Method: "DELETE", Path: "/mfa", Op: "removeMFA", Summary: "Remove the own factor and end all own sessions; needs a recent sign-in",
			Refuses: []fault.Kind{fault.NotFound}, Permission: allow("delete_own"), Audit: "mfa.remove",
			Handle: web.Do("MFA removed; sign in again", a.removeFactor)},
		{Method: "POST", Path: "/users/:id/mfa/totp", Op: "enrollTOTPFor",
			Summary: "Give an account a factor that is in use at once, in place of the one it has", Permission: allow("enroll"),
			Audit: "mfa.enrol_for", ShowsSecret: true, Handle: web.To(a.enrolFor)},
		{Method: "DELETE", Path: "/users/:id/mfa", Op: "removeMFAOf", Summary: "Remove the factor of an account and end its sessions",
			Permission: allow("delete"), Audit: "mfa.remove", Handle: web.Do("MFA removed", a.removeFactorOf)},
	}
}

// enrolmentView shows a new factor; no other answer does.
type enrolmentView struct {
	Secret        string   `json:"secret" doc:"for an authenticator that takes no address, in base32" example:"JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"`
	URI           string   `json:"otpauth_uri" doc:"for an authenticator: show it as a QR code" example:"otpauth://totp/Provisioning%20Platform:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"`
	RecoveryCodes []string `json:"recovery_codes" doc:"each is good once instead of a code" example:"[\"8f3k-2m9p-x7qd\"]"`

	account string
}

// Object returns the id of the account whose factor it is, for the record of an Idempotency-Key.
func (v enrolmentView) Object() string { return v.account }

func viewEnrolment(e mfa.Enrolment, account string) enrolmentView {
	return enrolmentView{Secret: e.Secret, URI: e.URI, RecoveryCodes: e.RecoveryCodes, account: account}
}

// answeringOnce is web.Answering for a secret: of such an answer the record of an Idempotency-Key
// keeps the status and Object alone, which are known before the secret is made.
func answeringOnce(ctx context.Context, account string) {
	web.Answering(ctx, enrolmentView{account: account})
}

func (a *API) enrol(ctx context.Context, _ web.None) (enrolmentView, error) {
	c := web.CallerOf(ctx)
	if err := a.fresh(c.Claims); err != nil {
		return enrolmentView{}, err
	}
	answeringOnce(ctx, c.ID())
	e, err := a.Factors.Enrol(ctx, c.ID())
	return viewEnrolment(e, c.ID()), err
}

type verifyIn struct {
	Code string `json:"code" required:"true" max:"64" doc:"six digits of the authenticator" example:"123456"`
}

func (a *API) verifyFactor(ctx context.Context, in verifyIn) error {
	c := web.CallerOf(ctx)
	return a.Factors.Verify(ctx, c.ID(), in.Code, session.StepUp(c.Claims.SessionID))
}

func (a *API) removeFactor(ctx context.Context, _ web.None) error {
	c := web.CallerOf(ctx)
	if err := a.fresh(c.Claims); err != nil {
		return err
	}
	return a.Factors.Remove(ctx, c.ID(), by(ctx))
}

func (a *API) enrolFor(ctx context.Context, in oneUser) (enrolmentView, error) {
	answeringOnce(ctx, in.ID)
	e, err := a.Factors.EnrolFor(ctx, in.ID, by(ctx))
	return viewEnrolment(e, in.ID), err
}

func (a *API) removeFactorOf(ctx context.Context, in oneUser) error {
	return a.Factors.Remove(ctx, in.ID, by(ctx))
}

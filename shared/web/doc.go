// Package web turns a table of routes into an HTTP service: it binds inputs, authenticates,
// authorises, records refusals and answers. Beside it live the parts that know no route: body
// (strict JSON), ratelimit, idempotency and openapi (the document). It is the only package that
// knows gin.
//
// It owns nothing of what a route does, no token rules (token) and no policy (authz): those come in
// as functions of the Config. The one rule a caller must know: a route is a literal, and everything
// the outside may know or do about it stands in that literal; what is missing makes NewServer fail.
//
//	{Method: "POST", Path: "/users", Op: "createUser", Summary: "Create a user", Status: 201,
//		Permission: web.Allow("create", "users"), Audit: "user.create", Handle: web.To(a.createUser)}
//
//	type createUser struct {
//		Name string `json:"username" required:"true" max:"256" doc:"name to sign in with"`
//	}
//	func (a API) createUser(ctx context.Context, in createUser) (userView, error)
//
// Fields of an input are tagged path:"id", query:"limit", header:"If-Match" or json:"name", and may
// say required:"true", default:"50", enum:"a,b", min:"1", max:"1000" (a value, or the length of a
// text or list), form:"name" or form:"free" (of a text or of the texts of a list, see package
// naming), doc and example; rare:"true" keeps a member out of the examples of the whole. An input
// may also have
//
//	Validate() []fault.Field        content rules of its own; pointers without "/" are query faults (400)
//	Resources() []authz.Resource    what the decision is about, when the path does not say it
//	Ignores() []string              top-level members that are taken and ignored (read-only ones, decision 19)
//
// A time in an input is a time.Time, or an instant.Span where it may bound something from above. An
// output may have ETag() string. Times in outputs are written in UTC with six digits, whatever they
// are (decision 47).
package web

// Package policies embeds the casbin model, the default roles and the default policies that both
// programs start with. It owns no logic: shared/authz compiles what is here.
package policies

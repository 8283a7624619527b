// Package policies embeds the casbin model, the roles with their default rights, the rights of the
// services, and the policies that a fresh installation starts with, as files that people can read
// and review. It owns no logic and requires nothing: shared/authz compiles what is here.
//
// The one rule: a right that is not in these files, and in no policy added later, does not exist.
package policies

import "embed"

// Files holds model.conf, roles/<name>.json, services/<name>.json and defaults/<name>.json.
//
//go:embed model.conf roles/*.json services/*.json defaults/*.json
var Files embed.FS

package authz

import "strings"

// AuditAction returns the audit log's word for an action on a type of resource: create of servers is
// "server.create" (contracts/platform.md I37).
func AuditAction(typ, action string) string { return singular(typ) + "." + action }

// AuditResource returns the audit log's name of a resource: "servers/web-01", or "servers" for the kind as such.
func AuditResource(r Resource) string {
	if r.Name == "" {
		return r.Type
	}
	return r.Type + "/" + r.Name
}

// singular returns the singular of a plural noun of the vocabulary.
func singular(typ string) string {
	switch {
	case typ == "batches":
		return "batch"
	case strings.HasSuffix(typ, "ies"):
		return strings.TrimSuffix(typ, "ies") + "y"
	default:
		return strings.TrimSuffix(typ, "s")
	}
}

package authz

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
)

// explainIssue turns the first complaint into one line with its place.
func explainIssue(text string, issues *cel.Issues) error {
	e := issues.Errors()[0]
	message, _, _ := strings.Cut(strings.TrimPrefix(e.Message, "Syntax error: "), "\n")
	if name, ok := strings.CutPrefix(message, "undeclared reference to "); ok {
		name, _, _ = strings.Cut(name, " (")
		if whole := nameAt(text, e.Location.Column()); strings.HasPrefix(whole, strings.Trim(name, "'")+".") {
			name = "'" + whole + "'"
		}
		message = "unknown name " + name + "; known are user.id, user.username, user.role, user.roles, request.ip, request.mfa, " +
			"request.time, resource.type, resource.name, resource.infra, time.hour"
	}
	if strings.HasPrefix(message, "token recognition error at: '= ") || strings.HasPrefix(message, "token recognition error at: '='") {
		message = "a single =; write == to compare"
	}
	if len(message) > 300 {
		message = message[:300]
	}
	return fmt.Errorf("column %d: %s", e.Location.Column()+1, message)
}

// nameAt returns the name with all its parts that stands in a condition of one line at that column,
// counted from 0 in characters: of user.name, CEL complains about user alone.
func nameAt(text string, column int) string {
	rest := []rune(text)
	rest = rest[min(column, len(rest)):]
	end := slices.IndexFunc(rest, func(r rune) bool {
		return r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	if end >= 0 {
		rest = rest[:end]
	}
	return string(rest)
}

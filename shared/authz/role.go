package authz

// Role is a set of default rights; users carry its name. A role also has the rights of what it
// inherits.
type Role struct {
	Description string   `json:"description,omitempty"`
	Inherits    []string `json:"inherits,omitempty"`
	Name        string   `json:"name"`
	Rules       []Rule   `json:"rules"`
}

package config

import (
	"reflect"
	"regexp"
	"sort"
	"strings"

	"github.com/provisioning-platform/platform/shared/secret"
)

// environment sets what the environment gives, and notes names with the prefix that nothing reads
// (decision 61): one that is within two letters of a key is a problem, the others are
// Loaded.Unknown.
func (l *Loaded) environment(o Options, problems *Problems) {
	given := map[string]string{}
	for _, variable := range o.Environ {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, o.Prefix+"_") && value != "" {
			given[name] = value
		}
	}
	known := map[string]bool{}
	for _, name := range o.OwnNames {
		known[name] = true
	}
	walk(l.into, "", func(key string, v reflect.Value) {
		name := envName(o.Prefix, key)
		known[name] = true
		if v.Type() == reflect.TypeFor[secret.Text]() {
			known[name+"_FILE"] = true
		}
		if !v.CanSet() {
			return
		}
		if text, ok := given[name]; ok {
			problems.AddError(l.put(key, v, text, "environment "+name))
		}
		if path, ok := given[name+"_FILE"]; ok && v.Type() == reflect.TypeFor[secret.Text]() {
			t, err := secret.FromFile(path)
			if err != nil {
				problems.Add("%s_FILE: %s", name, err)
				return
			}
			v.Set(reflect.ValueOf(t))
			l.origins[key] = "environment " + name + "_FILE"
		}
	})
	for name := range given {
		if known[name] || ofScheduler.MatchString(strings.TrimPrefix(name, o.Prefix)) {
			continue
		}
		if meant := nearest(name, known); meant != "" {
			problems.Add("environment %s is no setting (did you mean %s?)", name, meant)
			continue
		}
		l.Unknown = append(l.Unknown, name)
	}
	sort.Strings(l.Unknown)
}

// ofScheduler matches names that Kubernetes and Docker links put beside a service's own.
var ofScheduler = regexp.MustCompile(`_(SERVICE_(HOST|PORT\w*)|PORT(_\d+_(TCP|UDP)\w*)?)$`)

// nearest returns the known name that is at most two letters away from name; "" when there is none.
func nearest(name string, known map[string]bool) string {
	best, at := "", 3
	for k := range known {
		if d := distance(name, k); d < at || d == at && best != "" && k < best {
			best, at = k, d
		}
	}
	return best
}

// envName returns the environment name of a key.
func envName(prefix, key string) string {
	return prefix + "_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

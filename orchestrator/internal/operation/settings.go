package operation

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/naming"
)

// keysOf lists the keys of [providers.NAME] that each driver reads, beside "driver".
var keysOf = map[string][]string{
	"local":     {"dir"},
	"simulated": {"latency", "boot", "jitter", "calls_per_second", "state", "calls", "faults"},
}

// CheckProviders notes what OpenProviders would refuse, and keys that the chosen driver does not
// read. It opens nothing.
func CheckProviders(settings map[string]ProviderSettings, problems *config.Problems) {
	drivers := slices.Sorted(maps.Keys(keysOf))
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		s := settings[name]
		if !naming.Valid(name) {
			problems.Add("providers.%s: the name %s", name, naming.Rule)
		}
		known, ok := keysOf[s.Driver]
		if !ok {
			problems.Add("providers.%s.driver: there is no driver %q; there is: %s", name, s.Driver, strings.Join(drivers, ", "))
			continue
		}
		for _, key := range givenKeys(s) {
			if key != "driver" && !slices.Contains(known, key) {
				problems.Add("providers.%s.%s: the driver %s does not read this key; it reads: %s", name, key, s.Driver,
					strings.Join(known, ", "))
			}
		}
		if s.Driver == "simulated" {
			if err := s.simulated().Check(); err != nil {
				problems.Add("providers.%s: %s", name, err)
			}
		}
	}
}

// givenKeys returns the toml names of all members that are not zero.
func givenKeys(s ProviderSettings) (keys []string) {
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			keys = append(keys, v.Type().Field(i).Tag.Get("toml"))
		}
	}
	return keys
}

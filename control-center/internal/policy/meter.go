package policy

import "github.com/provisioning-platform/platform/shared/obs"

// Meter shows the policies in the registry, with names that begin with the service's prefix.
func (ps *Policies) Meter(m *obs.Registry, prefix string) {
	count := func(enabled bool) func() float64 {
		return func() (n float64) {
			for _, p := range ps.Authority.Set().Source().Policies {
				if p.Enabled == enabled {
					n++
				}
			}
			return n
		}
	}
	m.GaugeFuncOf(prefix+"_policies", "Stored policies by state.", "state", "enabled", count(true))
	m.GaugeFuncOf(prefix+"_policies", "Stored policies by state.", "state", "disabled", count(false))
	m.GaugeFunc(
		prefix+"_policies_broken",
		"Stored policies that are not in force because this program cannot compile them.",
		func() float64 { return float64(ps.broken.Load()) },
	)
	m.GaugeFunc(
		prefix+"_policy_set_version",
		"Version of the policies and roles in force; the orchestrator decides by the same one.",
		func() float64 { return float64(ps.Authority.Set().Version()) },
	)
}

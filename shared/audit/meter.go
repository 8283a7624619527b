package audit

import "github.com/provisioning-platform/platform/shared/obs"

// Meter shows the log in a service's metrics, under names that begin with prefix: how far entries,
// signatures and cosignatures are, and whether the log is in order. An alert on state, and on
// witnessed entries that stand still, is all that an operator needs.
func (l *Log) Meter(r *obs.Registry, prefix string) {
	for _, g := range []struct {
		name, help string
		read       func(Status) float64
	}{
		{"entries", "Entries of the audit log that are in its tree.", func(s Status) float64 { return float64(s.Size) }},
		{"signed_entries", "Entries of the audit log under its newest signed head.", func(s Status) float64 { return float64(s.Signed) }},
		{"witnessed_entries", "Entries of the audit log under its newest head that the peer has cosigned.",
			func(s Status) float64 { return float64(s.Witnessed) }},
		{"unwitnessed", "1 while what is signed waits for the peer's cosignature for longer than it takes.",
			func(s Status) float64 { return number(s.State == Unwitnessed) }},
		{"in_order", "1 while the audit log is what was signed and witnessed, 0 when it was altered or rolled back.",
			func(s Status) float64 {
				return number(s.State == OK || s.State == Unwitnessed)
			}},
	} {
		r.GaugeFunc(prefix+"_audit_"+g.name, g.help, func() float64 { return g.read(l.Status()) })
	}
	r.GaugeFunc(prefix+"_audit_signing_lag_seconds", "Seconds since all entries of the audit log were last known to be signed.",
		func() float64 {
			signing, _ := l.lags()
			return signing.Seconds()
		})
	r.GaugeFunc(prefix+"_audit_witness_lag_seconds",
		"Seconds that the newest signed head of the audit log has waited for the peer's cosignature; 0 when it has it.",
		func() float64 {
			_, witness := l.lags()
			return witness.Seconds()
		})
}

// Meter shows whether the other service's log goes on from what was cosigned: here, because there
// it is not to be believed.
func (p *Peer) Meter(r *obs.Registry, prefix string) {
	r.GaugeFunc(prefix+"_audit_peer_in_order",
		"1 while the other service's log goes on from what it showed before, 0 when it contradicts that.",
		func() float64 { return number(p.Alarm() == "") })
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

package authz

import "time"

// Asked is one question of an act: what is done to which resource.
type Asked struct {
	Action string
	Resource
}

// Act is one act of a subject with all that it is asked about. With the policies of the same
// version it gets the same answer at any time, so it is what the audit log keeps (decision 58).
type Act struct {
	Subject Subject
	IP      string
	Time    time.Time // to the microsecond, as it is recorded
	Asked   []Asked
}

// Ask adds a question for each resource to the act.
func (a *Act) Ask(action string, resources ...Resource) {
	for _, r := range resources {
		a.Asked = append(a.Asked, Asked{Action: action, Resource: r})
	}
}

// judgings bounds how often an act is judged anew because the policies changed meanwhile.
const judgings = 3

// Judge asks decide about the questions of a from the given one on, until one is refused. It
// returns the decision that counts, which is the last one, and the place of the refused question,
// -1 when all are allowed. A decision of another version than the ones before it, or than the given
// one, makes it ask everything again: one version answers the whole act.
func (a *Act) Judge(decide func(Request) Decision, from int, version uint64) (d Decision, refused int) {
	q := Request{Subject: a.Subject, IP: a.IP, Time: a.Time}
	for n := 0; ; n++ {
		same := true
		for i := from; i < len(a.Asked) && same; i++ {
			q.Action, q.Resource = a.Asked[i].Action, a.Asked[i].Resource
			d = decide(q)
			same = i == 0 || d.Version == version || n == judgings
			version = d.Version
			if same && !d.Allowed {
				return d, i
			}
		}
		if same {
			return d, -1
		}
		from = 0
	}
}

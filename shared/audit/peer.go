package audit

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/file"
)

// Statement is what one service tells the other about both logs. The exchange is the same in both
// directions: the orchestrator sends one and gets one back (decision 4, audit/heads).
type Statement struct {
	Keys    Public      `json:"keys"`              // the speaker's
	Head    string      `json:"head,omitempty"`    // the speaker's newest head worth witnessing
	From    int64       `json:"from"`              // size that Proof starts at: what the listener is believed to have seen
	Proof   []tlog.Hash `json:"proof,omitempty"`   // consistency of Head with the tree of size From
	Seen    string      `json:"seen,omitempty"`    // the listener's head as the speaker has last cosigned it
	Fork    string      `json:"fork,omitempty"`    // the speaker's head over the record of a fork, until it is accepted
	Refused string      `json:"refused,omitempty"` // why the speaker did not cosign what it was just told
}

// Peer is the memory of what the other service's log looked like: the witness. One Peer speaks for
// one Log and listens to one other.
type Peer struct {
	log *Log
	pin Public // the only keys accepted; empty: those heard first, from then on

	mu      sync.Mutex
	seen    memory    // under mu: stored in DIR/audit/peers before it is told
	theyHad int64     // under mu: size of our log that the other has cosigned, as it last said
	alarm   string    // under mu: why the other's newest head was refused
	kept    bool      // under mu: the alarm has its evidence and its entry
	refused string    // under mu: why the other refused our newest head, as it last said
	heard   time.Time // under mu: when a statement of the other was last heard since the start
}

// memory is what is stored about the other log.
type memory struct {
	Head string `json:"head,omitempty"` // last head cosigned, with our cosignature
	Keys Public `json:"keys"`
	Fork string `json:"fork,omitempty"` // fingerprint of a fork that the operator has accepted
}

// NewPeer returns the witness beside log. With pin given, only a log with these keys is listened
// to; else the first one heard is remembered.
func NewPeer(log *Log, pin Public) (*Peer, error) {
	p := &Peer{log: log, pin: pin}
	if pin.Treehead != "" {
		if err := pin.check(); err != nil {
			return nil, err
		}
	}
	if log.dir == "" {
		return p, nil
	}
	data, err := file.Read(log.dir, filepath.Join("peers", "current"))
	if err != nil || data == nil {
		return p, err
	}
	p.seen, err = log.remembered(strings.TrimSpace(string(data)))
	return p, err
}

// Exchange hears what the other says and answers. The fault is Denied when the statement is not
// signed by its speaker, Malformed when it makes no sense. A head that contradicts an earlier one
// is answered, in Refused, because the answer carries what the other needs to notice that it was
// rolled back. So is a log that is not the one witnessed here: it is refused, and hears our head
// all the same.
func (p *Peer) Exchange(ctx context.Context, in Statement) (Statement, error) {
	refused, err := p.hear(ctx, in)
	if fault.CodeOf(err) == unknownLog {
		return p.answerStranger(fault.Of(err).Message), nil
	}
	if err != nil {
		return Statement{}, err
	}
	out, err := p.Speak()
	out.Refused = refused
	return out, err
}

// answerStranger returns our head without a proof, for who has seen none of ours, and why his log
// is refused.
func (p *Peer) answerStranger(why string) Statement {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.alarm != why {
		p.alarm, p.kept = why, false
		p.log.log.Error("audit: " + why)
	}
	p.log.mu.RLock()
	defer p.log.mu.RUnlock()
	return Statement{Keys: p.log.Public(), Head: p.log.worth.Note, Refused: why}
}

// Speak returns the statement that opens an exchange.
func (p *Peer) Speak() (Statement, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.mu.RLock()
	head, fork := p.log.worth, p.log.fork
	p.log.mu.RUnlock()
	s := Statement{Keys: p.log.Public(), Head: head.Note, Seen: p.seen.Head, Fork: fork.Note}
	if head.Note == "" || p.theyHad > head.Size {
		return s, nil
	}
	s.From = p.theyHad
	var err error
	s.Proof, err = p.log.consistency(s.From, head.Size)
	return s, err
}

// Hear takes the answer to Speak.
func (p *Peer) Hear(ctx context.Context, answer Statement) error {
	refused, err := p.hear(ctx, answer)
	if err == nil && refused != "" {
		err = fault.New(fault.Conflict, "audit.inconsistent", "%s", refused)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if answer.Refused != "" && answer.Refused != p.refused {
		p.log.log.Error("audit: the other service refused our tree head", "reason", answer.Refused)
	}
	p.refused = answer.Refused
	return err
}

// Meet makes one exchange; send carries the statement to the other service and returns its answer.
// An error means that the other was not heard or, with code audit.inconsistent, that its log
// contradicts what it showed before.
func (p *Peer) Meet(ctx context.Context, send func(context.Context, Statement) (Statement, error)) error {
	s, err := p.Speak()
	if err != nil {
		return err
	}
	answer, err := send(ctx, s)
	if err != nil {
		return err
	}
	return p.Hear(ctx, answer)
}

// Met says whether the other service was heard since the start, so that this log knows whether it
// was put back.
func (p *Peer) Met() bool { return !p.Heard().IsZero() }

// Heard returns when a statement of the other was last heard since the start; zero when none was.
func (p *Peer) Heard() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heard
}

// Alarm returns why the other's newest head was refused; empty when all is well.
func (p *Peer) Alarm() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alarm
}

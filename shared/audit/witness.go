package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/file"
)

// hear checks both halves of a statement. It returns why the head was refused, if it was.
func (p *Peer) hear(ctx context.Context, in Statement) (refused string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.know(in.Keys); err != nil {
		return "", err
	}
	if err := p.hearSeen(in); err != nil {
		return "", err
	}
	p.heard = time.Now()
	if in.Head == "" {
		return "", nil
	}
	return p.hearHead(ctx, in)
}

// unknownLog is the code of a statement about a log that is not the one witnessed here.
const unknownLog = "audit.unknown_log"

// know returns a fault unless the keys are those of the peer.
func (p *Peer) know(keys Public) error {
	if err := keys.check(); err != nil {
		return fault.New(fault.Malformed, "audit.bad_keys", "the statement's keys are malformed").Because(err)
	}
	known := p.pin
	if known.Treehead == "" {
		known = p.seen.Keys
	}
	if known.Treehead == "" || sameKeys(known, keys) {
		if keys.Origin() == p.seen.Keys.Origin() {
			return nil
		}
		// The first one, or a log in memory that began anew; one that comes back is remembered.
		seen, err := p.log.remembered(keys.Origin())
		if err != nil {
			return err
		}
		seen.Keys = keys
		p.seen, p.theyHad = seen, 0
		return nil
	}
	return fault.New(fault.Denied, unknownLog, "the log %s with these keys is not the one that this service witnesses", keys.Origin())
}

// remembered returns what is stored about the log called origin.
func (l *Log) remembered(origin string) (m memory, err error) {
	if l.dir == "" {
		return m, nil
	}
	data, err := file.Read(l.dir, filepath.Join("peers", peerFile(origin)))
	if err != nil || data == nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("audit: what is stored about the log %s: %w", origin, err)
	}
	return m, nil
}

// remember stores what is known about the log called origin.
func (l *Log) remember(origin string, m memory) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return file.Write(filepath.Join(l.dir, "peers"), peerFile(origin), data)
}

// sameKeys says whether a and b differ, at most, in the suffix that a log in memory adds to its
// name.
func sameKeys(a, b Public) bool {
	trunk, _, _ := strings.Cut(a.Origin(), "/memory-")
	other, _, _ := strings.Cut(b.Origin(), "/memory-")
	return trunk == other && sameKey(a.Treehead, b.Treehead) && sameKey(a.Witness, b.Witness)
}

func sameKey(a, b string) bool {
	va, errA := newVerifier(a)
	vb, errB := newVerifier(b)
	return errA == nil && errB == nil && va.alg == vb.alg && va.key.Equal(vb.key)
}

// hearSeen learns what the other has cosigned of our log, and notices when we have less.
func (p *Peer) hearSeen(in Statement) error {
	if in.Seen == "" {
		p.theyHad = 0
		return nil
	}
	h, err := openHead(in.Seen, p.log.Public(), in.Keys)
	if err != nil {
		if n, e := open(in.Seen, p.log.Public().Treehead); e != nil || n == nil {
			p.theyHad = 0 // of an earlier log in memory, or not ours at all: nothing can be concluded
			return nil
		}
		return fault.New(fault.Malformed, "audit.bad_cosignature", "the cosignature under our tree head is not the speaker's").Because(err)
	}
	return p.log.wasSeen(h, func() { p.theyHad = h.Size })
}

// wasSeen compares a head of ours that the other has cosigned with the tree as it is.
func (l *Log) wasSeen(h Head, good func()) error {
	l.mu.RLock()
	failed, witnessed := l.failed, l.witnessed
	l.mu.RUnlock()
	if failed != nil {
		return nil
	}
	ahead, err := l.isAhead(h)
	if err != nil {
		return err
	}
	if known, err := l.accepted(h, ahead); err != nil || !known {
		return err
	}
	if ahead != "" {
		if l.dir != "" { // so that the next start knows it before it meets the other service
			err = file.Write(l.dir, aheadFile, []byte(h.Note))
		}
		l.fail(RolledBack, ahead)
		return err
	}
	good()
	if h.Size <= witnessed.Size {
		return nil
	}
	if l.dir != "" {
		if err := file.Write(l.dir, "witnessed", []byte(h.Note)); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.witnessed = h
	return nil
}

// isAhead says how a head of ours, which the other service has seen, contradicts what is stored
// here; "" when it does not.
func (l *Log) isAhead(h Head) (string, error) {
	if size := l.size(); h.Size > size {
		return fmt.Sprintf("the other service has seen %d entries, here are %d", h.Size, size), nil
	}
	root, err := l.rootAt(h.Size)
	if err == nil && root != h.Root {
		return fmt.Sprintf("the first %d entries are not those the other service has seen", h.Size), nil
	}
	return "", err
}

// hearHead cosigns the other's head when it goes on from what was cosigned before.
func (p *Peer) hearHead(ctx context.Context, in Statement) (refused string, err error) {
	h, err := openHead(in.Head, in.Keys)
	if err != nil {
		return "", fault.New(fault.Denied, "audit.bad_head", "the tree head is not signed by the speaker's log").Because(err)
	}
	var last Head
	if p.seen.Head != "" {
		if last, err = openHead(p.seen.Head, in.Keys); err != nil {
			return "", fmt.Errorf("what is stored about the other log: %w", err)
		}
	}
	if in.Fork != "" && last.Note != "" {
		fork, err := openHead(in.Fork, in.Keys)
		if err != nil {
			return "", fault.New(fault.Denied, "audit.bad_head", "the head over the fork is not signed by the speaker's log").Because(err)
		}
		if !fork.same(last) {
			return p.hearFork(ctx, last, fork, in.Keys)
		}
	}
	switch {
	case last.Note != "" && h.same(last):
		p.alarm = ""
		return "", nil
	case p.log.Sound() != nil && h.Size > last.Size:
		return "", nil // a log that is not in order records nothing, so it cosigns nothing
	case h.Size < last.Size:
		return p.refuse(ctx, last, h, fmt.Sprintf("the tree head has %d entries, but one with %d was cosigned before", h.Size, last.Size))
	case h.Size == last.Size:
		return p.refuse(ctx, last, h, fmt.Sprintf("two tree heads of size %d with different roots", h.Size))
	case in.From != last.Size:
		return "", nil // the speaker did not know what we have seen; it learns it from our answer
	case checkConsistency(in.Proof, last, h) != nil:
		return p.refuse(ctx, last, h, fmt.Sprintf("the tree head of size %d does not go on from the one of size %d cosigned before", h.Size,
			last.Size))
	}
	return "", p.accept(ctx, h, in.Keys)
}

// accept records, cosigns and stores the head, in this order: what is told is stored and recorded.
func (p *Peer) accept(ctx context.Context, h Head, keys Public) error {
	signed, err := p.log.keys.cosign(h, keys, time.Now())
	if err != nil {
		return err
	}
	if err := p.record(ctx, Success, "", map[string]any{"root": h.Root.String(), "size": h.Size}, h.Origin); err != nil {
		return err
	}
	next := memory{Head: signed.Note, Keys: keys, Fork: p.seen.Fork}
	if p.log.dir != "" {
		if err := p.log.remember(h.Origin, next); err != nil {
			return err
		}
		if err := file.Write(filepath.Join(p.log.dir, "peers"), "current", []byte(h.Origin+"\n")); err != nil {
			return err
		}
	}
	p.seen, p.alarm = next, ""
	return nil
}

// refuse keeps both heads as evidence and says why. What could not be kept is kept when the head is
// offered again.
func (p *Peer) refuse(ctx context.Context, last, offered Head, why string) (string, error) {
	if p.alarm == why && p.kept {
		return why, nil
	}
	p.alarm, p.kept = why, false
	p.log.log.Error("audit: the other service's log contradicts what it showed before", "reason", why, "origin", offered.Origin)
	if err := p.keepEvidence(last, offered, why); err != nil {
		return why, err
	}
	details := map[string]any{"cosigned_size": last.Size, "cosigned_root": last.Root.String(), "offered_root": offered.Root.String(),
		"offered_size": offered.Size}
	err := p.record(ctx, Failure, "audit.inconsistent", details, offered.Origin)
	p.kept = err == nil
	return why, err
}

// keepEvidence stores two heads that contradict each other in DIR/audit/evidence.
func (p *Peer) keepEvidence(last, offered Head, why string) error {
	if p.log.dir == "" {
		return nil
	}
	folder := filepath.Join(p.log.dir, "evidence")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	name := fmt.Sprintf("%d-%x-%s", offered.Size, offered.Root[:8], peerFile(offered.Origin))
	data, err := json.MarshalIndent(map[string]string{"cosigned_before": last.Note, "offered": offered.Note, "reason": why}, "", "  ")
	if err != nil {
		return err
	}
	return file.Write(folder, name, data)
}

func (p *Peer) record(ctx context.Context, result, code string, details map[string]any, origin string) error {
	ctx = WithContext(ctx, &Context{Actor: Actor{Sub: "service:audit"}, Origin: p.log.service()})
	return Record(ctx, p.log.db, EntryDraft{
		Action: witnessAction, Resource: "logs/" + origin, Result: result, Code: code, Details: details,
	})
}

// service is the name of the program in the log's origin: what follows "/audit/".
func (l *Log) service() string {
	_, name, ok := strings.Cut(l.keys.origin, "/audit/")
	if !ok {
		return l.keys.origin
	}
	name, _, _ = strings.Cut(name, "/")
	return name
}

// peerFile is the file name of what is stored about the log called origin.
func peerFile(origin string) string { return url.PathEscape(origin) + ".json" }

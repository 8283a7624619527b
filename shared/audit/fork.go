package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/file"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

const (
	forkAction   = "audit.fork"
	acceptAction = "audit.accept_fork"

	// forkFile holds the head over the record of a fork until the other service has cosigned it.
	forkFile = "fork"
)

// forkPrefix is how the record of a fork begins: action is the first member of an encoded entry.
var forkPrefix = []byte(`{"action":"` + forkAction + `"`)

// Fork is what the record of a fork says (decision 51): this log goes on from Size entries, and
// what the other service saw beyond them is given up.
type Fork struct {
	Origin      string `json:"origin"`
	Size        int64  `json:"size"`           // entries that this folder has, before the record
	Root        string `json:"root"`           // root hash over them
	Seen        int64  `json:"seen_size"`      // entries of the newest head that is given up
	SeenRoot    string `json:"seen_root"`      // its root hash
	LostFrom    int64  `json:"lost_from"`      // index of the first entry that may be lost: all before are known to be in both
	LostTo      int64  `json:"lost_to"`        // index of the last one
	Fingerprint string `json:"fingerprint"`    // of the head over the record, for the other service; empty before it is written
	Head        string `json:"head,omitempty"` // that head, signed
}

// ForkOptions are what Fork needs beside the log.
type ForkOptions struct {
	Reason string
	Seen   []string // heads of this log that the other service keeps, beside those stored here: SeenBy
	DryRun bool     // only say what would be lost
	// Prepare makes what is too large for one commit, before the record. It may be called again
	// after a crash.
	Prepare func(context.Context, *feed.Hub) error
	// Change is a part of the commit of the record, and may add to its details.
	Change func(tx *store.Tx, details map[string]any) error
}

// fingerprintOf names a head over the record of a fork in 32 hexadecimal digits.
func fingerprintOf(h Head) string {
	return id.Digest("fork\n" + h.text())[:32]
}

// Fork writes the record that this log, whose folder was put back, goes on from where it is. Until
// the other service accepts the record's fingerprint, the service refuses changes. The fault is a
// Conflict when nothing says that the folder was put back, or when the record is written already.
func (l *Log) Fork(ctx context.Context, o ForkOptions) (Fork, error) {
	if l.dir == "" {
		return Fork{}, fault.New(fault.Invalid, "audit.memory", "a log in memory ends with its process; there is nothing to recover")
	}
	if l.state == Altered {
		return Fork{}, l.failed
	}
	f, err := l.forkOf(ctx, o.Seen)
	if err != nil || o.DryRun {
		return f, err
	}
	l.failed, l.state, l.fork = nil, OK, Head{}
	l.db.Refuse(nil)
	ctx = WithContext(ctx, &Context{Actor: ContextOf(ctx).Actor, Origin: l.service()})
	if o.Prepare != nil {
		if err := o.Prepare(ctx, l.db); err != nil {
			return f, err
		}
	}
	act := EntryDraft{Action: forkAction, Resource: "logs/" + f.Origin, Details: map[string]any{
		"reason": o.Reason, "root": f.Root, "size": f.Size, "seen_root": f.SeenRoot, "seen_size": f.Seen, "lost_from": f.LostFrom,
		"lost_to": f.LostTo,
	}}
	_, err = Update(ctx, l.db, &act, func(tx *store.Tx) error {
		if o.Change == nil {
			return nil
		}
		return o.Change(tx, act.Details)
	})
	if err != nil {
		return f, err
	}
	err = l.signFork(ctx, &f)
	return f, err
}

// forkOf computes the tree of what is stored and compares it with every head at hand.
func (l *Log) forkOf(ctx context.Context, seen []string) (f Fork, err error) {
	notes := seen
	for _, name := range []string{"treehead", "witnessed", aheadFile} {
		data, err := file.Read(l.dir, name)
		if err != nil {
			return f, err
		}
		if data != nil {
			notes = append(notes, string(data))
		}
	}
	if l.tree, err = l.base.tree(); err == nil {
		err = errors.Join(l.hashes.begin(l.base), l.extend(ctx, -1))
	}
	if err != nil {
		return f, err
	}
	f = Fork{Origin: l.keys.origin, Size: l.tree.size, Root: l.tree.root().String()}
	ahead := Head{Size: -1}
	for _, note := range notes {
		h, err := openHead(note, l.keys.Public())
		if err != nil {
			return f, fault.New(fault.Conflict, "audit.foreign_head", "a head at hand is not one of the log %s", f.Origin).Because(err)
		}
		if h.Size < l.base.Size {
			continue
		}
		switch why, err := l.isAhead(h); {
		case err != nil:
			return f, err
		case why == "":
			f.LostFrom = max(f.LostFrom, h.Size)
		case h.Size > ahead.Size:
			ahead = h
		}
	}
	if ahead.Size < 0 {
		if l.fork.Note != "" {
			return f, fault.New(fault.Conflict, "audit.fork_pending", "the record of the fork is written already; its fingerprint is %s",
				fingerprintOf(l.fork))
		}
		return f, fault.New(fault.Conflict, "audit.no_fork",
			"nothing in this folder says that it was put back. Start the service beside the other one, which says what it has seen, and "+
				"stop it again; or give --peer-audit, the folder DIR/audit of the other service")
	}
	f.Seen, f.SeenRoot, f.LostTo = ahead.Size, ahead.Root.String(), ahead.Size-1
	f.LostFrom = min(f.LostFrom, f.LostTo)
	return f, nil
}

// signFork signs the head over the record and stores it as the one that waits for acceptance. A
// crash before the last step leaves what says that the folder was put back, so that Fork is called
// again.
func (l *Log) signFork(ctx context.Context, f *Fork) error {
	if err := l.extend(ctx, -1); err != nil {
		return err
	}
	h, err := l.keys.signHead(l.tree.size, l.tree.root())
	if err != nil {
		return err
	}
	for _, name := range []string{forkFile, "treehead"} {
		if err := errors.Join(l.hashes.sync(), file.Write(l.dir, name, []byte(h.Note))); err != nil {
			return err
		}
	}
	for _, name := range []string{"witnessed", aheadFile} {
		if err := os.Remove(filepath.Join(l.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	l.signed, l.worth, l.witnessed = h, h, Head{}
	f.Fingerprint, f.Head = fingerprintOf(h), h.Note
	l.awaitAcceptance(h)
	return file.Sync(l.dir)
}

// awaitAcceptance refuses every change until the other service has cosigned h, the head over the
// record of a fork.
func (l *Log) awaitAcceptance(h Head) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fork = h
	l.pending = fault.New(fault.Unavailable, "audit.fork_pending",
		"the log was forked after its folder was put back, and the other service has not accepted that yet. Nothing can be changed; "+
			"reads are served. "+
			"Stop the other service, run `audit accept-fork --data DIR --fingerprint %s --reason TEXT` with its program, and start it",
		fingerprintOf(h))
	l.db.Refuse(l.pending)
}

// accepted ends the wait when the other service has cosigned h of ours, which holds the record. It
// says whether what the other one shows may be relied on.
func (l *Log) accepted(h Head, ahead string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fork.Note == "" {
		return true, nil
	}
	if ahead != "" || h.Size < l.fork.Size {
		return false, nil
	}
	if err := os.Remove(filepath.Join(l.dir, forkFile)); err != nil {
		return false, err
	}
	if refused := l.db.Refused(); refused == l.pending {
		l.db.Refuse(nil)
	}
	l.fork, l.pending = Head{}, nil
	l.log.Info("audit: the other service accepted the fork")
	return true, nil
}

// Acceptance is what AcceptFork returns: the log whose fork will be accepted, and the head that is
// given up.
type Acceptance struct {
	Origin      string `json:"origin"`
	Seen        int64  `json:"seen_size"` // entries of that log that this service has seen
	SeenRoot    string `json:"seen_root"`
	Fingerprint string `json:"fingerprint"`
}

// AcceptFork records that the other service's log may go on from the record with that fingerprint,
// and remembers it for the next exchange of heads. The copies of this log's entries that the other
// service lost are sent again. The fault is Invalid for what is no fingerprint, NotFound when no
// log was ever seen.
func (l *Log) AcceptFork(ctx context.Context, fingerprint, reason string) (Acceptance, error) {
	fingerprint = strings.ToLower(strings.TrimSpace(fingerprint))
	if raw, err := hex.DecodeString(fingerprint); err != nil || len(raw) != 16 {
		return Acceptance{}, fault.New(fault.Invalid, "audit.fingerprint",
			"a fingerprint has 32 hexadecimal digits; `audit recover` on the other service prints it")
	}
	if err := l.Sound(); err != nil {
		return Acceptance{}, err
	}
	p, err := NewPeer(l, Public{})
	if err != nil {
		return Acceptance{}, err
	}
	if p.seen.Head == "" {
		return Acceptance{}, fault.New(fault.NotFound, "audit.unseen",
			"this service has seen no head of another log, so there is nothing that a fork could contradict")
	}
	h, err := openHead(p.seen.Head, p.seen.Keys)
	if err != nil {
		return Acceptance{}, err
	}
	a := Acceptance{Origin: h.Origin, Seen: h.Size, SeenRoot: h.Root.String(), Fingerprint: fingerprint}
	ctx = WithContext(ctx, &Context{Actor: ContextOf(ctx).Actor, Origin: l.service()})
	act := EntryDraft{Action: acceptAction, Resource: "logs/" + h.Origin, Details: map[string]any{
		"fingerprint": fingerprint, "reason": reason, "seen_root": a.SeenRoot, "seen_size": a.Seen,
	}}
	if _, err = Update(ctx, l.db, &act, func(tx *store.Tx) error {
		row, err := feed.Cursors.Load(tx, copierName)
		if err != nil || row.Rev == 0 {
			return err
		}
		row.Value.Seq = uint64(l.base.Size)
		return feed.Cursors.Save(tx, row.Value)
	}); err != nil {
		return a, err
	}
	if err := l.step(ctx); err != nil {
		return a, err
	}
	p.seen.Fork = fingerprint
	return a, l.remember(h.Origin, p.seen)
}

// hearFork hears the head over the record of a fork. It is cosigned when the operator has accepted
// its fingerprint here, and refused otherwise.
func (p *Peer) hearFork(ctx context.Context, last, fork Head, keys Public) (refused string, err error) {
	if offered := fingerprintOf(fork); p.seen.Fork != offered {
		return p.refuse(ctx, last, fork, "the log was forked: its service was put back from a backup and recovered. When that was you, "+
			"stop this service, run `audit accept-fork --data DIR --fingerprint "+
			offered+" --reason TEXT` with its program, and start it")
	}
	if err := p.keepEvidence(last, fork, "the fork "+p.seen.Fork+" was accepted"); err != nil {
		return "", err
	}
	before := p.seen.Fork
	p.seen.Fork = ""
	if err := p.accept(ctx, fork, keys); err != nil {
		p.seen.Fork = before
		return "", err
	}
	p.log.log.Warn("audit: the other service's fork is accepted", "origin", fork.Origin, "given_up", last.Size, "goes_on_from", fork.Size)
	return "", nil
}

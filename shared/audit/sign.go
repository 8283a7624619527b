package audit

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/file"
)

// witnessAction is the action of the entry that records what this log cosigned.
const witnessAction = "audit.witness"

// witnessPrefix is how such an entry begins: action is the first member of an encoded entry.
var witnessPrefix = []byte(`{"action":"` + witnessAction + `"`)

// Run extends the tree with what is committed and signs its head at most one second later, until
// ctx ends; then it signs what is left and returns nil. While it cannot sign, the store refuses
// changes after ten seconds.
func (l *Log) Run(ctx context.Context) error {
	good := time.Now()
	for {
		wake := l.db.Wait(Stream)
		err := l.step(ctx)
		if err == nil {
			good = time.Now()
		}
		l.gate(good, err)
		if !clock.Pause(ctx, time.Second, wake) || !clock.Pause(ctx, signEvery, nil) {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := l.step(last); err != nil {
				l.log.Warn("audit: the last entries are not signed", "error", err)
			}
			return l.hashes.close()
		}
	}
}

// step hashes what is new and signs it.
func (l *Log) step(ctx context.Context) error {
	l.mu.RLock()
	failed := l.failed
	l.mu.RUnlock()
	if failed != nil {
		return nil
	}
	if err := l.extend(ctx, -1); err != nil {
		return err
	}
	return l.sign()
}

// gate refuses changes when nothing could be signed since good, and lifts that when it can.
func (l *Log) gate(good time.Time, err error) {
	if err != nil {
		l.log.Warn("audit: cannot sign", "error", err)
	}
	l.mu.Lock() // a final state is set under mu too, and stays
	defer l.mu.Unlock()
	l.upToDate = good
	if l.failed != nil {
		return
	}
	refused := l.db.Refused()
	switch {
	case err == nil && refused != nil && refused.Code == "audit.unsigned":
		l.db.Refuse(nil)
	case err != nil && refused == nil && time.Since(good) > unsignedLimit:
		l.db.Refuse(fault.New(fault.Unavailable, "audit.unsigned",
			"the audit log cannot be signed at the moment, so nothing can be changed; "+
				"the operator finds the reason in the server's log").After(10 * time.Second))
	}
}

// extend hashes the entries behind the tree, up to the given size (all of them when negative). A
// missing entry is found out here, before a head would be signed that hides it.
func (l *Log) extend(ctx context.Context, upto int64) error {
	for upto < 0 || l.tree.size < upto {
		page, err := l.db.Read(ctx, Stream, uint64(l.tree.size), readAtOnce)
		if err != nil {
			return err
		}
		t, news := l.tree, false
		l.added = l.added[:0]
		for _, e := range page.Entries {
			if t.size == upto {
				break
			}
			if int64(e.Seq) != t.size+1 {
				l.fail(Altered, fmt.Sprintf("the entry with index %d is missing", t.size))
				return nil
			}
			l.added = t.add(tlog.RecordHash(e.Body), l.added)
			news = news || !bytes.HasPrefix(e.Body, witnessPrefix)
		}
		if err := l.hashes.append(l.added); err != nil {
			return err
		}
		l.mu.Lock()
		l.tree, l.news = t, l.news || news
		l.mu.Unlock()
		if len(page.Entries) < readAtOnce {
			if upto < 0 && int64(page.Head) > t.size {
				l.fail(Altered, fmt.Sprintf("the entry with index %d is missing", t.size))
			}
			return nil
		}
	}
	return nil
}

// sign signs the tree if it has grown and stores the head.
func (l *Log) sign() error {
	l.mu.RLock()
	size, root, done := l.tree.size, l.tree.root(), l.tree.size == l.signed.Size
	l.mu.RUnlock()
	if done {
		return nil
	}
	h, err := l.keys.signHead(size, root)
	if err != nil {
		return err
	}
	if l.dir != "" {
		if err := l.hashes.sync(); err != nil {
			return err
		}
		if err := file.Write(l.dir, "treehead", []byte(h.Note)); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.signed, l.signedAt = h, time.Now()
	if l.news || l.worth.Note == "" {
		l.worth, l.worthAt, l.news = h, l.signedAt, false
	}
	return nil
}

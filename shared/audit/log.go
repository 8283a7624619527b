package audit

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/file"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// These times and sizes bound a log.
const (
	signEvery     = 500 * time.Millisecond // heads are signed at most this often, so at most 1 s after an entry
	unsignedLimit = 10 * time.Second       // without a signature for this long the store refuses changes
	witnessLimit  = 5 * time.Second        // a head waits this long for its cosignature before it counts as unwitnessed
	readAtOnce    = store.MaxPage
	recheck       = 256 // entries compared with their stored hashes when a log is opened
)

// State says how far the log can be trusted to be seen by others.
type State string

// The states of a log. RolledBack and Altered are final: the store refuses every change until an
// operator has looked.
const (
	OK          State = "ok"
	Unwitnessed State = "unwitnessed"  // the peer has not cosigned what is signed here
	RolledBack  State = "rolled back"  // less is stored than was signed, or than the peer saw
	ForkPending State = "fork pending" // the folder was put back and recovered, and the peer has not accepted it
	Altered     State = "altered"      // what is stored is not what was signed
)

// Options say where a log has its data.
type Options struct {
	DB   *feed.Hub
	Dir  string // DIR/audit; empty keeps hashes and heads in memory (for a store in memory)
	Keys *Keys
	Log  *slog.Logger
}

// Log is the Merkle tree over the stream of one service, with its signed head. Open it before the
// first change, Run it beside the service.
type Log struct {
	db   *feed.Hub
	dir  string
	keys *Keys
	log  *slog.Logger

	hashes *hashes      // appended to by Run only
	base   ArchivedBase // of what was archived; of Run
	added  []tlog.Hash  // of extend, used again

	mu        sync.RWMutex
	tree      tree         // under mu: over all leaves in hashes
	signed    Head         // under mu: newest signed head
	signedAt  time.Time    // under mu
	upToDate  time.Time    // under mu: when all that was committed was last signed
	worth     Head         // under mu: newest signed head with more than records of witnessing under it
	worthAt   time.Time    // under mu
	news      bool         // under mu: something worth witnessing was added since worth
	witnessed Head         // under mu: newest of our heads with the peer's cosignature
	failed    error        // under mu: set in the final states
	fork      Head         // under mu: over the record of a fork that the other service has not accepted yet
	pending   *fault.Error // under mu: what changes are refused with meanwhile
	state     State        // under mu: OK or a final state
}

// Status is the log as health and metrics show it.
type Status struct {
	Origin    string    `json:"origin"`
	State     State     `json:"state"`
	Reason    string    `json:"reason,omitempty"`
	Size      int64     `json:"size"`        // entries hashed
	Signed    int64     `json:"signed_size"` // entries under the newest signed head
	SignedAt  time.Time `json:"signed_at"`
	Root      string    `json:"root"`
	Witnessed int64     `json:"witnessed_size"` // entries under the newest cosigned head
}

// Open returns the log of the store. It compares what is stored with what was signed; a difference
// is not an error but a final state, so that reads are still served and the operator can look.
func Open(ctx context.Context, o Options) (*Log, error) {
	l := &Log{db: o.DB, dir: o.Dir, keys: o.Keys, log: o.Log, state: OK}
	path := ""
	if o.Dir == "" { // every start is a new log, and says so to its witness
		l.keys = o.Keys.named(o.Keys.origin + "/memory-" + id.New()[:13])
	} else {
		if err := os.MkdirAll(filepath.Join(o.Dir, "peers"), 0o700); err != nil {
			return nil, err
		}
		path = filepath.Join(o.Dir, "hashes")
	}
	var err error
	if l.hashes, err = openHashes(path); err != nil {
		return nil, fmt.Errorf("audit: open hashes: %w", err)
	}
	if err := l.check(ctx); err != nil {
		return nil, fmt.Errorf("audit: open log: %w", err)
	}
	return l, nil
}

// check brings heads and hashes into memory and compares them with the store.
func (l *Log) check(ctx context.Context) error {
	page, err := l.db.Read(ctx, Stream, store.Latest, 0)
	if err != nil {
		return err
	}
	stored := int64(page.Head)
	if l.fork, err = l.readHead(forkFile); err != nil {
		return err
	}
	if l.fork.Note != "" {
		l.awaitAcceptance(l.fork)
	}
	if l.signed, err = l.readHead("treehead"); err != nil {
		l.fail(Altered, "the signed tree head in DIR/audit/treehead cannot be verified: "+err.Error())
		return nil
	}
	if l.witnessed, err = l.readHead("witnessed"); err != nil {
		l.fail(Altered, "the cosigned tree head in DIR/audit/witnessed cannot be verified: "+err.Error())
		return nil
	}
	if l.base, err = ReadBase(ctx, l.db); err != nil {
		return err
	}
	l.worth, l.worthAt = l.signed, time.Now()
	hashed := l.hashes.leaves()
	if known := max(l.signed.Size, l.witnessed.Size, hashed); stored < known {
		l.fail(RolledBack, fmt.Sprintf("the store has %d audit entries, but %d were written", stored, known))
		return nil
	}
	if l.signed.Size < l.witnessed.Size {
		l.fail(RolledBack, fmt.Sprintf("the tree head in DIR/audit is of size %d, but size %d was cosigned", l.signed.Size,
			l.witnessed.Size))
		return nil
	}
	if err := l.adopt(ctx, min(hashed, l.signed.Size)); err != nil || l.failed != nil {
		return err
	}
	return l.checkAhead(ctx)
}

// aheadFile holds the head with which the other service has shown that this log was put back.
const aheadFile = "ahead"

// checkAhead fails the log when what the other service has shown is still ahead of it. A newer
// folder put back in its place makes the file go with the old one; a newer store makes it
// meaningless.
func (l *Log) checkAhead(ctx context.Context) error {
	h, err := l.readHead(aheadFile)
	if err != nil || h.Note == "" {
		return err
	}
	if err := l.extend(ctx, h.Size); err != nil {
		return err
	}
	why, err := l.isAhead(h)
	if err != nil {
		return err
	}
	if why != "" {
		l.fail(RolledBack, why)
		return nil
	}
	return os.Remove(filepath.Join(l.dir, aheadFile))
}

// adopt takes the stored hashes below the signed head if they give its root, and else computes them
// again from the stream. What lies above the head is always computed again.
func (l *Log) adopt(ctx context.Context, usable int64) (err error) {
	if err := l.hashes.cut(usable); err != nil {
		return err
	}
	if usable == l.signed.Size && usable > 0 { // a log before its first signature has nothing to compare with
		t, err := loadTree(usable, l.hashes)
		same, newest := false, error(nil)
		if err == nil && t.root() == l.signed.Root {
			same, newest = l.sameNewest(ctx)
		}
		if newest != nil {
			return newest
		}
		if same {
			l.tree = t
			return nil
		}
		l.log.Warn("audit: the stored hashes do not fit and are computed again")
	}
	if l.tree, err = l.base.tree(); err != nil {
		l.fail(Altered, err.Error())
		return nil
	}
	if err := l.hashes.begin(l.base); err != nil {
		return err
	}
	if err := l.extend(ctx, l.signed.Size); err != nil {
		return err
	}
	if l.signed.Size > 0 && l.tree.root() != l.signed.Root {
		l.fail(Altered, "the stored audit entries do not give the root hash that was signed; run `audit verify` to find the place")
	}
	return nil
}

// sameNewest compares the newest entries below the head with their hashes. The rest is the business
// of Verify, which reads everything.
func (l *Log) sameNewest(ctx context.Context) (bool, error) {
	from := max(0, l.signed.Size-recheck)
	page, err := l.db.Read(ctx, Stream, uint64(from), int(l.signed.Size-from))
	if err != nil {
		return false, err
	}
	for _, e := range page.Entries {
		if int64(e.Seq) > l.signed.Size { // the page began later, for older ones are archived
			break
		}
		got, err := l.hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(e.Seq)-1)})
		if err != nil {
			return false, err
		}
		if got[0] != tlog.RecordHash(e.Body) {
			return false, nil
		}
	}
	return true, nil
}

func (l *Log) readHead(name string) (Head, error) {
	if l.dir == "" {
		return Head{}, nil
	}
	data, err := file.Read(l.dir, name)
	if err != nil || data == nil {
		return Head{}, err
	}
	return openHead(string(data), l.keys.Public())
}

// fail puts the log into a final state, in which the store refuses every change.
func (l *Log) fail(s State, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return
	}
	code, way := "audit.rolled_back", "Put the newest data folder back. When this backup is all there is, stop this service and run "+
		"`audit recover --data DIR --accept-fork --reason TEXT` with its program, which says what is lost and what to do on the other "+
		"service"
	if s == Altered {
		code, way = "audit.altered", "Keep this folder as evidence, run `audit verify` to find the place, and put a backup back"
	}
	f := fault.New(fault.Unavailable, code, "the audit log is %s: %s. Nothing can be changed any more; reads are served. %s.", s, reason,
		way)
	l.state, l.failed = s, f
	l.db.Refuse(f)
	l.log.Error("audit log", "state", s, "reason", reason)
}

// Sound returns why the log is in a final state or waits for the acceptance of a fork, nil when it
// is in order: what a service says for others to rely on must then not be said.
func (l *Log) Sound() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.failed == nil && l.pending != nil {
		return l.pending
	}
	return l.failed
}

// Status returns the state of the log.
func (l *Log) Status() Status {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := Status{
		Origin: l.keys.origin, State: l.state, Size: l.tree.size, Signed: l.signed.Size, SignedAt: l.signedAt,
		Root: l.signed.Root.String(), Witnessed: l.witnessed.Size,
	}
	if l.failed != nil {
		s.Reason = l.failed.Error()
	} else if l.pending != nil {
		s.State, s.Reason = ForkPending, l.pending.Error()
	} else if l.witnessed.Size < l.worth.Size && time.Since(l.worthAt) > witnessLimit {
		s.State = Unwitnessed
		s.Reason = fmt.Sprintf("%d entries are signed here and not yet cosigned by the other service", l.worth.Size-l.witnessed.Size)
	}
	return s
}

// lags returns for how long not everything that was committed has been known to be signed, and how
// long the newest head worth witnessing has been waiting for its cosignature.
func (l *Log) lags() (signing, witness time.Duration) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !l.upToDate.IsZero() {
		signing = time.Since(l.upToDate)
	}
	if l.witnessed.Size < l.worth.Size {
		witness = time.Since(l.worthAt)
	}
	return signing, witness
}

// Head returns the newest signed head; its Note is empty before the first signature.
func (l *Log) Head() Head {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.signed
}

// Public returns the keys that this log's heads and cosignatures verify with.
func (l *Log) Public() Public { return l.keys.Public() }

// Publication is what a service shows of its log: enough to compare with what a witness saw.
type Publication struct {
	Origin    string `json:"origin" doc:"name of the log" example:"provisioning-platform/audit/orchestrator"`
	Size      int64  `json:"size" doc:"entries under the signed head"`
	Root      string `json:"root" doc:"root hash of the signed head" example:"4a5a9c1fdd2d71fa7f9e1d6a4f7b8c3b0c6f1fdc5a3dd7a5b0f4a8a1c9d3e2f1"`
	Treehead  string `json:"treehead" doc:"the signed note with its cosignatures (C2SP checkpoint)" example:"provisioning-platform/audit/orchestrator\n8\nSlqcH90tcfp/nh1qT3uMOwxvH9xaPdelsPSoocnT4vE=\n"`
	Keys      Public `json:"keys" doc:"what verifies it; keep a copy elsewhere"`
	State     State  `json:"state" doc:"whether the other service has signed it too" example:"witnessed"`
	Entries   int64  `json:"entries" doc:"entries that are stored, signed or not"`
	Witnessed int64  `json:"witnessed_size" doc:"entries under the newest head that the other service signed"`
}

// Publish returns the newest signed head with the state of the log.
func (l *Log) Publish() Publication {
	h, s := l.Head(), l.Status()
	return Publication{Origin: h.Origin, Size: h.Size, Root: h.Root.String(), Treehead: h.Note, Keys: l.Public(), State: s.State,
		Entries: s.Size, Witnessed: s.Witnessed}
}

package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/driver"
)

// AuditLog says where a program's audit log is.
type AuditLog struct {
	Dir   string         // signed heads and hashes: DIR/audit
	Keys  string         // file with the public keys
	Store driver.Options // the entries
}

// AuditCommands returns the verbs of the noun audit that need no running service. peer is the name
// of the other service; own is the program's part of a recovery.
func (p Program[C]) AuditCommands(peer string, own Recovery) []Command {
	s, find := p.Setup, p.AuditLog
	return []Command{verifyCommand(peer, s, find), exportCommand(s, find), archiveCommand(s, find), recoverCommand(peer, s, find, own),
		acceptCommand(peer, s, find)}
}

func exportCommand(s Setup, find func(*IO, *Setup) (AuditLog, error)) Command {
	return Command{
		Use: "export", Short: "write the signed log as JSON lines, for somebody who verifies it elsewhere", Flags: s.Declare,
		Long:    "Writes to standard output. Hand the public keys over another way than the export: DIR/keys/audit/public.",
		Example: "  " + s.program() + " audit export --data ./data > log.jsonl",
		Run: func(ctx context.Context, o *IO, _ []string) error {
			opt, closed, err := openAuditLog(ctx, o, &s, find)
			if err != nil {
				return err
			}
			defer closed()
			if err = audit.Export(ctx, opt, o.Out); fault.CodeOf(err) == "audit.nothing_signed" {
				return Exit(ExitUnverified, err)
			}
			return err
		},
	}
}

// openAuditLog opens the log of the configured data folder to read it.
func openAuditLog(ctx context.Context, o *IO, s *Setup, find func(*IO, *Setup) (AuditLog, error)) (opt audit.VerifyOptions, closed func(),
	err error) {
	ledger, err := find(o, s)
	if err != nil {
		return opt, nil, err
	}
	if err := served(ledger); err != nil {
		return opt, nil, err
	}
	if opt.Log, err = publicKeys(ledger.Keys); err != nil {
		return opt, nil, err
	}
	db, err := ledger.OpenToRead(ctx)
	if err != nil {
		return opt, nil, err
	}
	opt.Dir, opt.Read = ledger.Dir, db.Read
	if opt.Base, err = audit.ReadBase(ctx, db); err != nil {
		_ = db.Close()
	}
	return opt, func() { _ = db.Close() }, err
}

// served refuses a folder from which no service ever ran: it has no log that could be in order or
// not.
func served(l AuditLog) error {
	folder := filepath.Dir(l.Dir)
	if _, err := os.Stat(folder); err != nil {
		return fault.New(fault.NotFound, "audit.folder", "the data folder cannot be read: %s", err)
	}
	if _, err := os.Stat(l.Dir); errors.Is(err, fs.ErrNotExist) {
		return Exit(ExitUnverified, fault.New(fault.Conflict, "audit.never_served",
			"no service ever ran from %s, so it has no audit log: nothing is recorded and nothing is signed", folder))
	}
	return nil
}

func verifyCommand(peer string, s Setup, find func(*IO, *Setup) (AuditLog, error)) Command {
	var peerKeys, peerAudit, export, archive, keys string
	return Command{
		Use: "verify", Short: "verify the log offline, with the data folder or an export alone",
		Long: "Computes the log again from its entries and compares it with every signed head at hand. Changes nothing and asks nobody.\n" +
			"A running service holds its folder: stop it first (else it ends with 6), or verify a copy or an export.\n" +
			"Ends with 11 when the log does not verify.",
		Example: "  " + s.program() + " audit verify --data ./data\n  " + s.program() + " audit verify --export log.jsonl --keys ./public",
		Flags: func(f *Flags) {
			s.Declare(f)
			f.StringVar(&peerKeys, "peer-keys", "", "file with the public audit keys of the "+peer+
				" (its DIR/keys/audit/public), to check cosignatures too")
			f.StringVar(&peerAudit, "peer-audit", "", "folder DIR/audit of the "+peer+
				": what it has seen of this log is compared too, which finds a log that was put back")
			f.StringVar(&export, "export", "", "verify this export instead of a data folder; needs --keys")
			f.StringVar(&archive, "archive", "", "verify this folder, which audit archive wrote, instead of a data folder; needs --keys")
			f.StringVar(&keys, "keys", "", "file with the public audit keys of the log in the export or archive")
		},
		Run: func(ctx context.Context, o *IO, _ []string) error {
			var opt audit.VerifyOptions
			var err error
			if archive != "" {
				return o.verifyArchive(archive, keys, peerKeys)
			}
			if export == "" {
				var closed func()
				if opt, closed, err = openAuditLog(ctx, o, &s, find); err != nil {
					return err
				}
				defer closed()
			} else {
				f, err := os.Open(export)
				if err != nil {
					return fault.New(fault.NotFound, "audit.export", "the export cannot be read: %s", err)
				}
				defer func() { _ = f.Close() }()
				opt.Export = f
				if opt.Log, err = publicKeys(keys); err != nil {
					return err
				}
			}
			if peerKeys != "" {
				if opt.Peer, err = publicKeys(peerKeys); err != nil {
					return err
				}
			}
			if peerAudit != "" {
				seen, err := audit.SeenBy(peerAudit, opt.Log.Origin())
				if err != nil {
					return err
				}
				if len(seen) == 0 {
					return fault.New(fault.NotFound, "audit.unseen",
						"%s holds nothing that the %s has seen of the log %s; give the folder audit of its data folder", peerAudit, peer,
						opt.Log.Origin())
				}
				opt.Heads = append(opt.Heads, seen...)
			}
			return o.verdict(audit.Verify(ctx, opt))
		},
	}
}

// verdict prints a report and returns the error that the program ends with.
func (o *IO) verdict(report audit.Report, err error) error {
	if err != nil {
		return err
	}
	t := Table{Rows: [][]string{{"verdict", string(report.Verdict)}, {"log", report.Origin}, {"report", report.Text}}}
	for _, n := range report.Notes {
		t.Rows = append(t.Rows, []string{"note", n})
	}
	if err := o.Print(report, t); err != nil || report.OK {
		return err
	}
	return Exit(ExitUnverified, fault.New(fault.Conflict, "audit.unverified", "the log does not verify: %s", report.Text))
}

// OpenToRead opens the store of the log without changing it: the embedded store read-only, the
// store of a server without its lease.
func (l AuditLog) OpenToRead(ctx context.Context) (store.DB, error) {
	if l.Store.Embedded() {
		return driver.OpenReadOnly(l.Store.Dir, l.Store.Schema)
	}
	o := l.Store
	o.ReadOnly = true
	return driver.Open(ctx, o)
}

func publicKeys(path string) (audit.Public, error) {
	if path == "" {
		return audit.Public{}, Usage("--keys is needed with --export: the file DIR/keys/audit/public of the service whose log it is")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return audit.Public{}, fault.New(fault.NotFound, "audit.keys", "the public audit keys cannot be read: %s", err)
	}
	return audit.ParsePublic(string(b))
}

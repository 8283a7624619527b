package cli

import (
	"context"
	"log/slog"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/instant"
)

// archiveCommand returns the verb that moves old entries out of the store.
func archiveCommand(s Setup, find func(*IO, *Setup) (AuditLog, error)) Command {
	var to, before string
	program := s.program()
	return Command{
		Use: "archive", Short: "move old entries of the log into a folder that verifies alone",
		Long: "Writes the entries that are older than --before into --to, in the form of C2SP's tlog-tiles, verifies what it wrote, and " +
			"only then\n" +
			"removes them from the store. What others have not seen yet stays: it ends with the last full 256 entries that the other " +
			"service has\n" +
			"cosigned. A folder with an earlier archive of the log is continued. Stop the service first: it holds its folder.\n" +
			"Check the folder at any time and anywhere: audit verify --archive FOLDER --keys DIR/keys/audit/public.",
		Example: "  " + program + " audit archive --data ./data --to ./archive --before 2026-01-01",
		Flags: func(f *Flags) {
			s.Declare(f)
			f.StringVar(&to, "to", "", "folder of the archive; it is made when it is not there")
			f.StringVar(&before, "before", "", "only entries that are older than this time or day")
		},
		Run: func(ctx context.Context, o *IO, _ []string) error {
			if to == "" || before == "" {
				return Usage("--to FOLDER and --before TIME are needed")
			}
			when, err := instant.Parse(before)
			if err != nil {
				return Usage("--before: %s", err)
			}
			log, closed, err := openLog(ctx, o, &s, find)
			if err != nil {
				return err
			}
			defer closed()
			folder, err := filepath.Abs(to)
			if err != nil {
				return err
			}
			done, err := log.Archive(byOperator(ctx), folder, when.First)
			if err != nil {
				return err
			}
			if done.Through == done.First {
				o.Note("unchanged: no 256 entries in a row are older and seen by the other service")
			}
			return o.Print(done, Table{Rows: [][]string{
				{"archived", strconv.FormatInt(done.Through-done.First, 10)}, {"through", strconv.FormatInt(done.Through, 10)},
				{"root", done.Root}, {"folder", done.Folder},
			}})
		},
	}
}

// byOperator names who runs this program as the actor of what it records.
func byOperator(ctx context.Context) context.Context {
	scene := &audit.Context{Actor: audit.Actor{Sub: "operator"}}
	if me, err := user.Current(); err == nil {
		scene.Actor.Username = me.Username
	}
	return audit.WithContext(ctx, scene)
}

// openLog opens the log of the configured data folder to write it.
func openLog(ctx context.Context, o *IO, s *Setup, find func(*IO, *Setup) (AuditLog, error)) (*audit.Log, func(), error) {
	ledger, err := find(o, s)
	if err != nil {
		return nil, nil, err
	}
	public, err := publicKeys(ledger.Keys)
	if err != nil {
		return nil, nil, err
	}
	keys, err := audit.MakeKeys(filepath.Dir(ledger.Keys), public.Origin())
	if err != nil {
		return nil, nil, err
	}
	if ledger.Store.InMemory() {
		return nil, nil, fault.New(fault.Invalid, "audit.memory",
			"a store in memory ends with its process; a change of its log would be lost")
	}
	db, closed, err := openStopped(ctx, ledger.Store)
	if err != nil {
		return nil, nil, err
	}
	log, err := audit.Open(ctx, audit.Options{DB: db, Dir: ledger.Dir, Keys: keys, Log: slog.New(slog.NewTextHandler(o.Err, nil))})
	if err != nil {
		closed()
		return nil, nil, err
	}
	return log, closed, nil
}

// verifyArchive is audit verify of an archive.
func (o *IO) verifyArchive(folder, keys, peerKeys string) error {
	log, err := publicKeys(keys)
	if err != nil {
		return err
	}
	var peer audit.Public
	if peerKeys != "" {
		if peer, err = publicKeys(peerKeys); err != nil {
			return err
		}
	}
	return o.verdict(audit.VerifyArchive(folder, log, peer))
}

package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
)

// Recovery is a program's own part of `audit recover`: what a put-back service must not take over.
type Recovery struct {
	Declare func(*Flags) // nil: no flags of its own
	// Begin returns what is done before the commit of the record (nil: nothing), and what is done
	// in it. dir is the data folder. It refuses flags that make no sense before anything is
	// changed.
	Begin func(ctx context.Context, o *IO, dir string) (before func(context.Context, *feed.Hub) error,
		in func(*store.Tx, map[string]any) error, err error)
}

// recoverCommand returns the verb for a service that was put back from a backup (decision 51).
func recoverCommand(peer string, s Setup, find func(*IO, *Setup) (AuditLog, error), own Recovery) Command {
	var accept bool
	var reason, peerAudit string
	program := s.program()
	return Command{
		Use: "recover", Short: "go on from a backup, when it is all that is left",
		Long: "For a service that refuses changes with audit.rolled_back because an older data folder was put back. Stop it first. " +
			"Without\n" +
			"--accept-fork it only says what would be lost. With it, it writes the record of the fork into the log and prints a " +
			"fingerprint;\n" +
			"the service goes on refusing changes until `" + peer + " audit accept-fork` was run with that fingerprint.",
		Example: "  " + program + " audit recover --data ./data --accept-fork --reason 'disk of host 7 died'",
		Flags: func(f *Flags) {
			s.Declare(f)
			f.BoolVar(&accept, "accept-fork", false, "write the record; entries that are lost stay lost")
			f.StringVar(&reason, "reason", "", "why, for the log")
			f.StringVar(&peerAudit, "peer-audit", "", "folder DIR/audit of the "+peer+
				", when this service has not met it since it was put back")
			if own.Declare != nil {
				own.Declare(f)
			}
		},
		Run: func(ctx context.Context, o *IO, _ []string) error {
			if accept && strings.TrimSpace(reason) == "" {
				return Usage("--reason TEXT is needed: it is recorded")
			}
			ledger, err := find(o, &s)
			if err != nil {
				return err
			}
			if err := served(ledger); err != nil {
				return err
			}
			log, closed, err := openLog(ctx, o, &s, find)
			if err != nil {
				return err
			}
			defer closed()
			opt := audit.ForkOptions{Reason: reason, DryRun: !accept}
			if peerAudit != "" {
				if opt.Seen, err = audit.SeenBy(peerAudit, log.Public().Origin()); err != nil {
					return err
				}
			}
			if accept && own.Begin != nil {
				if opt.Prepare, opt.Change, err = own.Begin(ctx, o, ledger.Store.Dir); err != nil {
					return err
				}
			}
			f, err := log.Fork(byOperator(ctx), opt)
			if err != nil {
				return err
			}
			if accept {
				o.Note("next: stop the %s, run `%s audit accept-fork --data DIR --fingerprint %s --reason TEXT`, and start both", peer,
					peer, f.Fingerprint)
			} else {
				o.Note("nothing was changed; add --accept-fork --reason TEXT")
			}
			return o.Print(f, Table{Rows: [][]string{
				{"log", f.Origin}, {"here", fmt.Sprintf("%d entries, root %s", f.Size, f.Root)},
				{"seen by the " + peer, fmt.Sprintf("%d entries, root %s", f.Seen, f.SeenRoot)},
				{"lost", fmt.Sprintf("entries %d to %d (by index, at most)", f.LostFrom, f.LostTo)}, {"fingerprint", f.Fingerprint},
			}})
		},
	}
}

// acceptCommand returns the verb with which the other service's fork is accepted.
func acceptCommand(peer string, s Setup, find func(*IO, *Setup) (AuditLog, error)) Command {
	var fingerprint, reason string
	program := s.program()
	return Command{
		Use: "accept-fork", Short: "let the " + peer + " go on from a backup",
		Long: "Records that the log of the " + peer + " may go on from the record with that fingerprint, which `" + peer +
			" audit recover` has\n" +
			"printed. What was seen beyond it is kept in DIR/audit/evidence. Stop this service first, and start both afterwards.",
		Example: "  " + program + " audit accept-fork --data ./data --fingerprint 0123456789abcdef0123456789abcdef --reason 'disk of " +
			"host 7 died'",
		Flags: func(f *Flags) {
			s.Declare(f)
			f.StringVar(&fingerprint, "fingerprint", "", "what audit recover has printed on the other side")
			f.StringVar(&reason, "reason", "", "why, for the log")
		},
		Run: func(ctx context.Context, o *IO, _ []string) error {
			if fingerprint == "" || strings.TrimSpace(reason) == "" {
				return Usage("--fingerprint F and --reason TEXT are needed")
			}
			log, closed, err := openLog(ctx, o, &s, find)
			if err != nil {
				return err
			}
			defer closed()
			a, err := log.AcceptFork(byOperator(ctx), fingerprint, reason)
			if fault.Is(err, fault.Invalid) {
				return Exit(ExitUsage, err)
			}
			if err != nil {
				return err
			}
			return o.Print(a, Table{Rows: [][]string{
				{"log", a.Origin}, {"given up", strconv.FormatInt(a.Seen, 10) + " entries, root " + a.SeenRoot},
				{"accepted", a.Fingerprint},
			}})
		},
	}
}

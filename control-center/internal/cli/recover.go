package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/apitoken"
	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	signing "github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/control-center/internal/serviceaccount"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Recovery returns the control-center's part of `audit recover` (decision 51, ADR 0009): it ends
// all tokens and sessions from before, and disables every account that lost rights since the
// backup.
func Recovery() cli.Recovery {
	var admin, subjects string
	return cli.Recovery{
		Declare: func(f *cli.Flags) {
			f.StringVar(&admin, "admin", "", "user name of the administrator who stays enabled")
			f.StringVar(&subjects, "subjects", "",
				"file of `orchestrator audit subjects`; without it every account but --admin's comes back disabled")
		},
		Begin: func(_ context.Context, o *cli.IO, dir string) (func(context.Context, *feed.Hub) error,
			func(*store.Tx, map[string]any) error, error) {
			if admin == "" && subjects == "" {
				return nil, nil, cli.Usage("give --subjects FILE, written by `orchestrator audit subjects`, or --admin NAME: without " +
					"the file every other account comes back disabled")
			}
			file, err := bootstrap.Load(dir)
			if err != nil {
				return nil, nil, err
			}
			sealer, err := seal.Open(instance.Folder(dir).Keys())
			if err != nil {
				return nil, nil, err
			}
			known, err := readSubjects(subjects)
			if err != nil {
				return nil, nil, err
			}
			now := time.Now()
			var stopped *feed.Hub
			before := func(ctx context.Context, db *feed.Hub) error {
				stopped = db
				if err := disable(ctx, o, db, user.Recovery{Known: known, Admin: admin, Now: now}); err != nil {
					return err
				}
				return suspend(ctx, o, db, known, now)
			}
			in := func(tx *store.Tx, details map[string]any) error {
				revoked, signs, err := signing.Renew(tx, sealer, now)
				if err != nil {
					return err
				}
				details["signs"] = signs
				if details["epoch"], err = bootstrap.NewEpoch(tx, file); err != nil {
					return err
				}
				everybody := token.Revocation{Kind: token.ByAll, At: now.Unix(), Exp: now.Add(revocation.Keep).Unix()}
				return revocation.Renew(tx, stopped, now, append(revoked, everybody)...)
			}
			return before, in, nil
		},
	}
}

// disable ends all sessions, disables the accounts that lost rights since the backup, and prints
// their names.
func disable(ctx context.Context, o *cli.IO, db *feed.Hub, r user.Recovery) error {
	done, err := r.Run(ctx, db)
	if err != nil {
		return err
	}
	for _, a := range done.Disabled {
		o.Note("disabled until an administrator enables it: %s (%s)", cli.Printable(a.Username), a.Why)
	}
	for _, sub := range done.Lost {
		o.Note("lost, for it is younger than the backup: the account with the id %s", cli.Printable(sub))
	}
	return nil
}

// suspend suspends all API tokens, disables the service accounts that lost rights since the backup,
// and prints both.
func suspend(ctx context.Context, o *cli.IO, db *feed.Hub, known map[string]token.SubjectState, now time.Time) error {
	disabled, err := serviceaccount.Recover(ctx, db, known, now)
	if err != nil {
		return err
	}
	for _, a := range disabled {
		o.Note("disabled until an administrator enables it: %s (%s)", cli.Printable(a.Username), a.Why)
	}
	n, err := apitoken.SuspendAll(ctx, db, now)
	if err == nil && n > 0 {
		o.Note("suspended %d API tokens: their owners rotate those that are still wanted (control-center token rotate ID)", n)
	}
	return err
}

// readSubjects returns what the orchestrator knows of each account, by user id; nil without a file.
func readSubjects(path string) (map[string]token.SubjectState, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.NotFound, "recover.subjects", "the file of --subjects cannot be read: %s", err)
	}
	defer func() { _ = f.Close() }()
	known := map[string]token.SubjectState{}
	for d := json.NewDecoder(bufio.NewReader(f)); ; {
		var s token.SubjectState
		err := d.Decode(&s)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || strings.TrimSpace(s.Sub) == "" {
			return nil, fault.New(fault.Invalid, "recover.subjects", "%s is not what `orchestrator audit subjects` writes",
				path).Because(err)
		}
		known[s.Sub] = s
	}
	if len(known) == 0 {
		return nil, fault.New(fault.Invalid, "recover.subjects",
			"%s names no account; `orchestrator audit subjects` writes every one that was ever heard of", path)
	}
	return known, nil
}

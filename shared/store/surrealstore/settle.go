package surrealstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	surrealdb "github.com/surrealdb/surrealdb.go"
	"github.com/surrealdb/surrealdb.go/pkg/models"
)

const (
	keepCalls  = 15 * time.Minute // ten are promised; the clocks of several processes differ
	sweepEvery = 10 * time.Second
)

// newCallID returns a record id that no other call has, ordered by time so that old ones are a
// range.
func newCallID(table string) models.RecordID {
	return models.NewRecordID(table, []any{time.Now().Unix(), rand.Text()})
}

// settle finds out what became of a call whose reply is lost. Looking is not enough: the engine may
// go on with a transaction whose connection was cut. So it takes the call's own record: if that
// succeeds the call can never commit any more; if it is taken, the call has committed. The verdicts
// of the call need not be read back, because who asks is the process that judged them.
func (s *Store) settle(ctx context.Context, id models.RecordID, cause error) (committed bool, err error) {
	vars := map[string]any{"call": id}
	for attempt := 0; ctx.Err() == nil; attempt++ {
		_, err := s.link.query(ctx, textClaim, vars)
		if err == nil {
			s.log.Info("a commit whose reply was lost was taken back", "cause", cause.Error())
			return false, undone{cause}
		}
		var refused *surrealdb.QueryError
		if errors.As(err, &refused) && strings.Contains(err.Error(), "already exists") {
			committed, known := s.committed(ctx, vars)
			if known && committed {
				s.log.Info("a commit whose reply was lost is there", "cause", cause.Error())
				return true, nil
			}
			if known {
				return false, undone{cause}
			}
		}
		jitter(ctx, attempt)
	}
	return false, fmt.Errorf("outcome unknown: %w", cause)
}

// committed reads who has the record of a call.
func (s *Store) committed(ctx context.Context, vars map[string]any) (committed, known bool) {
	results, err := s.link.query(ctx, textCall, vars)
	if err != nil {
		return false, false
	}
	var call *struct {
		Void bool `json:"void"`
	}
	if err := decode(results[0], &call); err != nil || call == nil {
		return false, false
	}
	return !call.Void, true
}

// undone is a call that certainly did not commit and never will.
type undone struct{ error }

// Unwrap returns why its outcome was in doubt.
func (u undone) Unwrap() error { return u.error }

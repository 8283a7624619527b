package retention

import (
	"context"
	"log/slog"
	"time"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
)

// lookEvery is how often the classes are asked what is over.
const lookEvery = 10 * time.Second

// Pruner removes what the classes say is over. Build it as a literal; one runs in a process.
type Pruner struct {
	DB      store.DB
	Classes []Class
	Now     func() time.Time
	Log     *slog.Logger

	rows, age obs.Gauge // by class
	ever      obs.Gauge // by class and what tells its rows apart
	letters   obs.Gauge
	gone      obs.Counter
	shown     map[string]int64 // what gone was told, by class; of Run
}

// Meter shows for each class how many rows are kept, how old the oldest is and how many were ever
// pruned, in metrics whose names begin with prefix. It is called before Run.
func (p *Pruner) Meter(r *obs.Registry, prefix string) {
	p.rows = r.Gauge(prefix+"_retention_rows", "Rows of history that are kept.", "class")
	p.age = r.Gauge(prefix+"_retention_oldest_age_seconds",
		"Age in seconds of the oldest row of history that is kept; 0 when there is none, or the oldest has not ended yet.", "class")
	p.ever = r.Gauge(prefix+"_retention_ever", "Rows of history that there are or were: totals that do not fall when rows are pruned.",
		"class", "of")
	p.letters = r.Gauge(prefix+"_dead_letters", "Ranges of streams that were pruned before a follower came to them.")
	p.gone = r.Counter(prefix+"_retention_pruned_total", "Rows of history that were ever pruned, before the last restart too.", "class")
}

// Run prunes until ctx ends and then returns nil. What fails is tried again with the next look.
func (p *Pruner) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		p.round(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// round prunes every class once and looks at what is left.
func (p *Pruner) round(ctx context.Context) {
	for _, c := range p.Classes {
		if err := p.prune(ctx, c); err != nil && ctx.Err() == nil {
			p.Log.Warn("retention: a class is not pruned; it is tried again", "class", c.Name, "error", err)
		}
	}
	if err := p.endDay(ctx); err != nil && ctx.Err() == nil {
		p.Log.Warn("retention: the audit entry of a day is not written; it is tried again", "error", err)
	}
	p.look(ctx)
}

// prune takes the steps of a class until nothing is over. Somebody who changed what a step would
// remove was faster, which the next look takes into account.
func (p *Pruner) prune(ctx context.Context, c Class) error {
	for ctx.Err() == nil {
		s, err := c.Next(ctx, p.Now())
		if err != nil || s.Empty() {
			return err
		}
		began := time.Now()
		err = p.commit(ctx, s)
		if s.Settled != nil {
			s.Settled()
		}
		if fault.Is(err, fault.Conflict) {
			return nil
		}
		if err != nil {
			return err
		}
		clock.Pause(ctx, time.Since(began), nil) // the store is everybody's: half of the time is theirs
	}
	return nil
}

// commit removes what a step names, with its count.
func (p *Pruner) commit(ctx context.Context, s Step) error {
	row, err := tallies.Get(ctx, p.DB, tallyID)
	if err != nil {
		return err
	}
	next, entry, err := row.Value.after(ctx, s, p.Now())
	if err != nil {
		return err
	}
	w, err := tallies.Write(next, store.At(row.Rev))
	if err != nil {
		return err
	}
	b := s.Batch
	b.Writes, b.Appends = append(b.Writes, w), append(b.Appends, entry...)
	_, err = p.DB.Commit(ctx, b)
	return err
}

// endDay writes the audit entry of a day that is over.
func (p *Pruner) endDay(ctx context.Context) error {
	row, err := tallies.Get(ctx, p.DB, tallyID)
	if err != nil || len(row.Value.Today) == 0 || row.Value.Day == p.Now().UTC().Format(time.DateOnly) {
		return err
	}
	return p.commit(ctx, Step{})
}

// look brings the metrics up to date. A figure that cannot be read stays as it was.
func (p *Pruner) look(ctx context.Context) {
	if page, err := p.DB.List(ctx, store.Query{Kind: feed.DeadLetters.Kind, Total: true}); err == nil {
		p.letters.Set(float64(page.Total))
	}
	pruned, err := Pruned(ctx, p.DB)
	if err == nil && p.shown == nil {
		p.shown = map[string]int64{}
	}
	for _, c := range p.Classes {
		if k, err := c.Kept(ctx); err == nil {
			age := 0.0
			if !k.Oldest.IsZero() {
				age = max(0, p.Now().Sub(k.Oldest).Seconds())
			}
			p.rows.Set(float64(k.Rows), c.Name)
			p.age.Set(age, c.Name)
			for of, n := range k.Ever {
				p.ever.Set(float64(n), c.Name, of)
			}
		}
		if err == nil {
			all := of(c.Name, pruned)
			p.gone.Add(float64(all-p.shown[c.Name]), c.Name)
			p.shown[c.Name] = all
		}
	}
}

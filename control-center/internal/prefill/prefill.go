package prefill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/control-center/internal/subscription"
	"github.com/provisioning-platform/platform/shared/clock"
)

// Object is one object of a directory.
type Object struct {
	ID   string          // by which events about it are kept in order
	JSON json.RawMessage // an object with a member objectType; empty with Unfit
	// Unfit says why the source cannot give it: it becomes a dead letter with that reason, and the
	// other objects are delivered.
	Unfit string
}

// Source is where the objects of a realm are read from.
type Source interface {
	// Topics returns the topics that the realm has.
	Topics(ctx context.Context) ([]string, error)
	// Objects returns some objects of a topic behind the place after, empty for the beginning, and
	// the place behind them, empty at the end.
	Objects(ctx context.Context, topic, after string) (objects []Object, next string, err error)
}

// Figures of the jobs.
const (
	atOnce      = 4           // jobs that run at the same time
	firstPause  = time.Second // after an attempt that read nothing (contract 2.6)
	longestWait = 2 * time.Minute
	lookEvery   = 10 * time.Second // for jobs, without a wake-up
)

// publisher is the name in the messages of a prefill (contract 1.4).
const publisher = "udm-pre-fill"

// Prefill runs the jobs. It is built as a literal; one process has one.
type Prefill struct {
	Subscriptions *subscription.Subscriptions
	Sources       map[string]Source // by realm; a realm without one has no objects
	Attempts      int               // that read nothing before a job has failed; below 0 without end
	Now           func() time.Time
	Log           *slog.Logger

	mu      sync.Mutex
	running map[string]bool // generations
}

// Run starts a job for each subscription whose prefill is pending, and for those that an earlier
// process has begun, until ctx ends. Then it waits for the jobs and returns nil.
func (p *Prefill) Run(ctx context.Context) error {
	var jobs sync.WaitGroup
	defer jobs.Wait()
	slots := make(chan struct{}, atOnce)
	woken, remove := p.Subscriptions.AwaitPrefill()
	defer remove()
	for {
		views, err := p.Subscriptions.Unfilled(ctx)
		if err != nil && ctx.Err() == nil {
			p.Log.Warn("pending prefills cannot be listed; it is tried again", "error", err, "pause", lookEvery)
		}
		for _, v := range views {
			if !p.begin(v.Generation) {
				continue
			}
			jobs.Go(func() {
				defer p.end(v.Generation)
				p.run(ctx, slots, v)
			})
		}
		if clock.Pause(ctx, lookEvery, woken); ctx.Err() != nil {
			return nil
		}
	}
}

func (p *Prefill) begin(generation string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		p.running = map[string]bool{}
	}
	fresh := !p.running[generation]
	p.running[generation] = true
	return fresh
}

func (p *Prefill) end(generation string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.running, generation)
}

// run works on one job until it is done, has failed, or is nobody's any more.
func (p *Prefill) run(ctx context.Context, slots chan struct{}, v subscription.View) {
	log := p.Log.With("subscription", v.Name)
	pause := firstPause
	for failed := 0; ; {
		before := v.Queue.Prefill
		err := p.attempt(ctx, slots, &v)
		switch {
		case err == nil:
			log.Info("prefill is done", "messages", v.Queue.PrefillEnd)
			return
		case ctx.Err() != nil:
			return
		case errors.Is(err, subscription.ErrUnknown), errors.Is(err, subscription.ErrNotRunning):
			return // deleted, or begun anew: then it is pending, and found again
		}
		if v.Queue.Prefill != before {
			failed, pause = 0, firstPause
		}
		if failed++; p.Attempts >= 0 && failed >= p.Attempts {
			log.Warn("prefill has failed; when the source answers again, restart it", "attempts", failed, "error", err)
			if err := p.Subscriptions.EndPrefill(ctx, v.Name, v.Generation, subscription.Failed); err != nil &&
				!errors.Is(err, subscription.ErrUnknown) {
				log.Warn("that the prefill has failed is not stored; it is tried again", "error", err)
			}
			return
		}
		log.Warn("prefill tries again", "error", err, "pause", pause)
		if clock.Pause(ctx, pause, nil); ctx.Err() != nil {
			return
		}
		pause = min(2*pause, longestWait)
	}
}

// attempt goes on with a job from where its queue says it is. v.Queue follows what it has stored.
func (p *Prefill) attempt(ctx context.Context, slots chan struct{}, v *subscription.View) error {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	q, err := p.Subscriptions.BeginPrefill(ctx, v.Name, v.Generation)
	if err != nil {
		return err
	}
	v.Queue = q
	topics, err := p.topics(ctx, v.Topics())
	if err != nil {
		return err
	}
	for i := v.Queue.Prefill.Topic; i < len(topics); i++ {
		for {
			place := v.Queue.Prefill.After
			objects, next, err := p.Sources[topics[i].Realm].Objects(ctx, topics[i].Topic, place)
			if err != nil {
				return err
			}
			for messages := p.messages(topics[i], objects); ; {
				skip := min(v.Queue.Prefill.Skip, len(messages))
				n := fitting(messages[skip:])
				at := subscription.Progress{Topic: i, After: place, Skip: skip + n}
				last := at.Skip == len(messages)
				if last {
					at = subscription.Progress{Topic: i, After: next}
				}
				if last && next == "" {
					at.Topic = i + 1
				}
				if v.Queue, err = p.Subscriptions.AddPrefill(ctx, v.Name, v.Generation, messages[skip:skip+n], at); err != nil {
					return err
				}
				if last {
					break
				}
			}
			if next == "" {
				break
			}
		}
	}
	return p.Subscriptions.EndPrefill(ctx, v.Name, v.Generation, subscription.Done)
}

// fitting returns how many messages, at least one if there are any, fit into one commit.
func fitting(messages []directory.Message) (n int) {
	for size := 0; n < len(messages); n++ {
		if size += len(messages[n].Body); n > 0 && size > directory.MaxMessage {
			return n
		}
	}
	return n
}

// topics returns the topics to read, in the order in which they were asked for and each once.
func (p *Prefill) topics(ctx context.Context, wanted []subscription.Topic) (found []subscription.Topic, err error) {
	known := map[string][]string{}
	for _, w := range wanted {
		source := p.Sources[w.Realm]
		if source == nil {
			p.Log.Info("a realm without a source is not prefilled", "realm", w.Realm)
			continue
		}
		if known[w.Realm] == nil {
			if known[w.Realm], err = source.Topics(ctx); err != nil {
				return nil, err
			}
			slices.Sort(known[w.Realm])
		}
		for _, topic := range known[w.Realm] {
			t := subscription.Topic{Realm: w.Realm, Topic: topic}
			if w.Matches(w.Realm, topic) && !slices.Contains(found, t) {
				found = append(found, t)
			}
		}
	}
	return found, nil
}

func (p *Prefill) messages(t subscription.Topic, objects []Object) []directory.Message {
	now := directory.Time(p.Now())
	messages := make([]directory.Message, len(objects))
	for i, o := range objects {
		messages[i] = directory.Message{
			Publisher: publisher, Timestamp: now, Realm: t.Realm, Topic: t.Topic, Object: o.ID,
			Body: directory.Body(json.RawMessage("{}"), o.JSON), Unfit: o.Unfit,
		}
		if n := len(messages[i].Body); n > directory.MaxMessage {
			messages[i].Unfit = fmt.Sprintf("the object has %d bytes as a message, and the most is %d", n, directory.MaxMessage)
		}
		if messages[i].Unfit != "" {
			messages[i].Body = directory.Body(json.RawMessage("{}"), named(t.Topic, o.ID))
		}
	}
	return messages
}

// named is what stands for an object that cannot be delivered.
func named(topic, dn string) json.RawMessage {
	text, _ := json.Marshal(map[string]string{"dn": dn, "objectType": topic}) // of texts: it never fails
	return text
}

package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/authhost/authhost/host"
)

// Outbox is what waits in users' slots.
type Outbox interface {
	// Tasks returns what is to be done about a user now, the oldest first.
	Tasks(ctx context.Context, userID string) ([]*host.Task, error)
	// Claim makes a task the caller's own until a moment, and counts a try;
	// false if it is somebody else's.
	Claim(ctx context.Context, t *host.Task, until time.Time) (bool, error)
	// Replace puts messages in the place of an event, the caller's own until a
	// moment. With again the event stays for then, for the plugins that were not
	// asked yet.
	Replace(ctx context.Context, t *host.Task, messages []*host.Task, until, again time.Time) (bool, error)
	// Full says of which plugins so many messages about a user wait that they are
	// not to be asked for more.
	Full(ctx context.Context, userID string) (full func(plugin string) bool, err error)
	// Postpone gives a claimed task back until a moment.
	Postpone(ctx context.Context, t *host.Task, until time.Time) error
	// Drop takes a task out.
	Drop(ctx context.Context, t *host.Task) (bool, error)
}

// Sender sends a message to where its plugin may send it.
type Sender interface {
	Fetch(ctx context.Context, r host.Fetch) host.Fetched
}

// Plugin is one that is told of ends.
type Plugin struct {
	Name     string
	Notifier host.Notifier // nil: it is not asked any more
	Sender   Sender        // nil: it may not send
}

// Metrics counts what becomes of ends and of messages. Its methods are called by
// many goroutines.
type Metrics interface {
	EndedEvent(result string)           // Asked, Failed or GivenUp
	EndedMessage(plugin, result string) // Delivered, Failed or GivenUp
	EndedWaiting(users int)             // who wait for a worker of this process
}

// What becomes of a task.
const (
	Asked     = "asked"
	Delivered = "delivered"
	Failed    = "failed" // this try
	GivenUp   = "given_up"
)

// Options say whom a Teller tells. Wants, Open and Metrics must be set.
type Options struct {
	// Wants says whether anybody is to be told of a user's ends.
	Wants func(userID string) bool
	// Open returns the user's realm and the plugins that are told in it, which
	// stay as they are until release.
	Open    func(userID string) (realm string, plugins []Plugin, release func())
	Metrics Metrics
	Workers int              // users looked after at a time; 0: 16
	Now     func() time.Time // nil: the system's clock
	Logger  *slog.Logger     // nil: none
}

// Teller looks after users of whom something is to be told. Its methods may be
// called concurrently.
type Teller struct {
	o         Options
	queue     chan string
	receivers receivers

	mu     sync.Mutex
	queued map[string]bool   // who is in queue
	later  map[string]*nudge // by user
}

// nudge is one that is to come: of each user the earliest, so that however many
// messages wait for their receivers, one visit follows another.
type nudge struct {
	at    time.Time
	timer *time.Timer
}

const (
	maxQueued = 4096 // further users are left to the sweeper
	maxLater  = 4096

	claim   = 30 * time.Second // how long a task is a worker's own
	giveUp  = 7 * 24 * time.Hour
	asking  = 10 * time.Second // for one plugin
	askings = 20 * time.Second // for all, so that their answers come within the claim
	sending = 10 * time.Second // for one message
)

// New returns a teller, which does nothing until Run.
func New(o Options) (*Teller, error) {
	if o.Wants == nil || o.Open == nil || o.Metrics == nil || o.Workers < 0 {
		return nil, errors.New("notify: Wants, Open and Metrics must be set, Workers not negative")
	}
	if o.Workers == 0 {
		o.Workers = 16
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Teller{o: o, queue: make(chan string, maxQueued), queued: map[string]bool{}, later: map[string]*nudge{}, receivers: receivers{all: map[string]*receiver{}}}, nil
}

// Wants says whether anybody is to be told of a user's ends.
func (t *Teller) Wants(userID string) bool { return t.o.Wants(userID) }

// Nudge has a worker look at a user soon. It does not block; with too many
// waiting already the user is left to the sweeper.
func (t *Teller) Nudge(userID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queued[userID] {
		return
	}
	select {
	case t.queue <- userID:
		t.queued[userID] = true
		t.o.Metrics.EndedWaiting(len(t.queued))
	default:
	}
}

// nudgeIn nudges after a while.
func (t *Teller) nudgeIn(d time.Duration, userID string) {
	n := &nudge{at: time.Now().Add(d)}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch earlier := t.later[userID]; {
	case earlier == nil && len(t.later) >= maxLater:
		return
	case earlier == nil:
	case !n.at.Before(earlier.at):
		return
	default:
		earlier.timer.Stop()
	}
	n.timer = time.AfterFunc(d, func() {
		t.mu.Lock()
		if t.later[userID] == n {
			delete(t.later, userID)
		}
		t.mu.Unlock()
		t.Nudge(userID)
	})
	t.later[userID] = n
}

// Run looks after users until ctx ends.
func (t *Teller) Run(ctx context.Context, box Outbox) {
	var all sync.WaitGroup
	for range t.o.Workers {
		all.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case userID := <-t.queue:
					t.taken(userID)
					(&visit{Teller: t, box: box, userID: userID}).make(ctx)
				}
			}
		})
	}
	all.Wait()
}

func (t *Teller) taken(userID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.queued, userID)
	t.o.Metrics.EndedWaiting(len(t.queued))
}

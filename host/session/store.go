package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// Options says how sessions of one realm live. Realm and Cache must be set.
type Options struct {
	Realm string
	// Cache is what Resolve and Revoked ask. It may remember what it read.
	Cache cache.Driver
	// Through is the same cache for whatever must know how things are now: its
	// reads go through, and its changes make Cache forget. nil: Cache itself,
	// which then remembers nothing.
	Through cache.Driver

	Idle     time.Duration // how long a session may lie unused; 0: 8 hours
	Absolute time.Duration // how long it may live at all; 0: 24 hours
	// OutliveToken lets a session live on when the credential it was made from
	// ends.
	OutliveToken bool
	// TokenLife is the longest that a JWT of the realm may still count after it
	// was issued, leeway included; 0: 25 hours. That is how long a slot
	// remembers a logout everywhere.
	TokenLife time.Duration
	// MaxSessions is how many live sessions a user may have; 0: any number.
	MaxSessions int
	WhenFull    WhenFull // what becomes of a login beyond that

	// Teller is told when access has ended; nil: nobody is, and no event is
	// written.
	Teller Teller

	Now    func() time.Time // nil: the system's clock
	Rand   io.Reader        // of ids and secrets; nil: crypto/rand
	Logger *slog.Logger     // nil: none
}

// WhenFull says what becomes of a login when its user has as many live sessions
// as are allowed.
type WhenFull uint8

// What may become of it. The zero value is EndOldest.
const (
	EndOldest WhenFull = iota // the sessions made first end, in the same write
	Refuse                    // the login is refused
)

// Store is the sessions of one realm. Its methods may be called concurrently.
// Every error it returns is a *host.Error.
type Store struct {
	o     Options
	near  bool // o.Cache may remember
	ends  chronicle
	turns []chan struct{} // see retry; users are spread over them as over due-lists

	headers  *memo[header]
	sessions *memo[session]
}

// grace is how much longer a record is kept than anything that is judged by
// it: replicas' clocks may differ by that much.
const grace = time.Hour

// New returns a store.
func New(o Options) (*Store, error) {
	if o.Realm == "" || o.Cache == nil {
		return nil, errors.New("session: a store needs a realm and a cache")
	}
	if o.Idle < 0 || o.Absolute < 0 || o.TokenLife < 0 || o.MaxSessions < 0 {
		return nil, errors.New("session: a negative duration or number of sessions")
	}
	if o.WhenFull > Refuse {
		return nil, fmt.Errorf("session: no such answer to a login too many: %d", o.WhenFull)
	}
	if o.Idle == 0 {
		o.Idle = 8 * time.Hour
	}
	if o.Absolute == 0 {
		o.Absolute = 24 * time.Hour
	}
	if o.TokenLife == 0 {
		o.TokenLife = 25 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	near := o.Through != nil
	if !near {
		o.Through = o.Cache
	}
	s := &Store{o: o, near: near, ends: chronicle{o.Rand, o.Logger, o.Teller}, turns: make([]chan struct{}, cache.DueLists),
		headers: newMemo[header](), sessions: newMemo[session]()}
	for i := range s.turns {
		s.turns[i] = make(chan struct{}, 1)
	}
	return s, nil
}

// Direct returns the same store without its memory: Resolve and Revoked read
// through too, for whoever must not be told of a moment ago.
func (s *Store) Direct() *Store {
	direct := *s
	direct.o.Cache, direct.near = s.o.Through, false
	return &direct
}

// check refuses an identity of another realm, which is a mistake of wiring and
// must not become an answer.
func (s *Store) check(id *host.Identity) error {
	if id == nil || id.Realm != s.o.Realm || !host.IsUserIDOf(id.UserID, s.o.Realm) {
		return unavailable(fmt.Errorf("an identity that is not of realm %s", s.o.Realm))
	}
	return nil
}

// mine refuses a user id of another realm, which is a mistake of wiring too.
func (s *Store) mine(userID string) error {
	if !host.IsUserIDOf(userID, s.o.Realm) {
		return unavailable(errors.New("a user id that is not of realm " + s.o.Realm))
	}
	return nil
}

// change makes one change of a slot.
func (s *Store) change(ctx context.Context, userID string, c cache.Change) (applied bool, err error) {
	applied, err = s.o.Through.Change(ctx, userID, c)
	if err != nil {
		return false, unavailable(err)
	}
	return applied, nil
}

// changeDue makes one change of a slot whose user was put on a due-list for at,
// and puts it there again if a sweeper may have come before the change.
func (s *Store) changeDue(ctx context.Context, userID string, c cache.Change, at time.Time) (applied bool, err error) {
	applied, err = s.change(ctx, userID, c)
	if now := s.o.Now(); applied && passed(at, now) {
		if _, err := putDue(ctx, s.o.Through, userID, now); err != nil {
			return false, unavailable(err)
		}
	}
	return applied, err
}

// changeTold makes a change that ends access. If it tells of that, the user is on
// a due-list before, and whoever tells is nudged afterwards.
func (s *Store) changeTold(ctx context.Context, userID string, c telling, told bool) (applied bool, err error) {
	if !told {
		return s.change(ctx, userID, c.Change)
	}
	at, err := putDue(ctx, s.o.Through, userID, s.o.Now())
	if err != nil {
		return false, unavailable(err)
	}
	applied, err = s.changeDue(ctx, userID, c.Change, at)
	c.made(applied, err)
	if applied && s.ends.wants(userID) {
		s.ends.nudge(userID)
	}
	return applied, err
}

// fields reads some fields of a slot, or all of them where the ends of its
// user's access are told.
func (s *Store) fields(ctx context.Context, userID string, told bool, names ...string) (map[string][]byte, error) {
	if told {
		all, err := s.o.Through.All(ctx, userID)
		if err != nil {
			return nil, unavailable(err)
		}
		return all, nil
	}
	raw, err := s.o.Through.Get(ctx, userID, names...)
	if err != nil {
		return nil, unavailable(err)
	}
	found := make(map[string][]byte, len(names))
	for i, name := range names {
		if raw[i] != nil {
			found[name] = raw[i]
		}
	}
	return found, nil
}

// unavailable is what the cache's failures are called outside.
func unavailable(cause error) error {
	return &host.Error{Kind: host.Unavailable, Public: "the session cache does not answer", Cause: cause}
}

// retry makes a change of a user's slot by compare-and-put until it is made, or
// nothing is left to do. Those of this process who lost once take turns, so that
// they do not keep one another from it.
func (s *Store) retry(ctx context.Context, userID string, change func() (done bool, err error)) error {
	if done, err := change(); done || err != nil {
		return err
	}
	turn := s.turns[dueList(userID)]
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
	err := cache.Persist(ctx, change)
	if _, told := errors.AsType[*host.Error](err); err != nil && !told {
		err = unavailable(fmt.Errorf("the slot: %w", err))
	}
	return err
}

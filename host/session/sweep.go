package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// settle is how long after a deadline the sweeper comes: clocks differ a
// little, and who put a user on a due-list may still be about to write.
const settle = 2 * time.Second

// A due-list holds, for each moment at which a user's slot needs a look, the
// user's id, "@" and that moment in milliseconds since 1970. Each moment is an
// entry of its own, so that who drops one that was seen to drops nothing that a
// login has put there meanwhile, and the next can be put before this is dropped.

// dueList is where a user's entries are.
func dueList(userID string) int { return int(crc32.ChecksumIEEE([]byte(userID)) % cache.DueLists) }

// putDue has a user's slot looked at soon after a moment, and returns when.
// Moments close to one another share an entry.
func putDue(ctx context.Context, d cache.Driver, userID string, moment time.Time) (at time.Time, err error) {
	at = moment.Truncate(settle).Add(2 * settle)
	return at, d.PutDue(ctx, dueList(userID), userID+"@"+strconv.FormatInt(at.UnixMilli(), 10), at)
}

// passed says of an entry that was put before a write, once that is made,
// whether a sweeper may have come in between, found nothing and dropped it: it
// is to be put again. The zero time is of no entry.
func passed(at, now time.Time) bool { return !at.IsZero() && !at.After(now.Add(settle)) }

// SweeperOptions says how a Sweeper works. Cache must be set, to one whose
// reads go through.
type SweeperOptions struct {
	Cache  cache.Driver
	Every  time.Duration    // between two rounds; 0: 5 seconds
	Batch  int              // users taken from each of the cache.DueLists lists in a round, at most; 0: 64
	Teller Teller           // tells of what ended; nil: nobody does
	Now    func() time.Time // nil: the system's clock
	Rand   io.Reader        // of events' ids; nil: crypto/rand
	Logger *slog.Logger     // nil: none
}

// Sweeper finds what ended without anybody asking, in the slots of every
// realm, and cleans up after logouts. Any number of replicas may run one: each
// user is leased to one at a time, and a second look does no harm.
type Sweeper struct {
	o    SweeperOptions
	ends chronicle
}

const (
	lease     = time.Minute // how long a user is one sweeper's own
	sweepMost = 256         // fields removed in one change
	sweeps    = 16          // changes of one slot in one look
	patience  = 3           // failures after which a round, or a list in it, is given up

	// handover is when a user is looked at again of whom something is to be told:
	// until then whoever was nudged has taken it up, or has died.
	handover = 30 * time.Second
)

// NewSweeper returns a sweeper, which does nothing until Run.
func NewSweeper(o SweeperOptions) (*Sweeper, error) {
	if o.Cache == nil {
		return nil, errors.New("session: a sweeper needs a cache")
	}
	if o.Every < 0 || o.Batch < 0 {
		return nil, errors.New("session: a sweeper with a negative interval or batch")
	}
	if o.Every == 0 {
		o.Every = 5 * time.Second
	}
	if o.Batch == 0 {
		o.Batch = 64
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return &Sweeper{o, chronicle{o.Rand, o.Logger, o.Teller}}, nil
}

// Run makes one round after another until ctx ends. While the cache is away it
// tries on, and says so once.
func (w *Sweeper) Run(ctx context.Context) {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.o.Every/2 + mathrand.N(w.o.Every)):
		}
		_, err := w.Round(ctx)
		if ctx.Err() != nil {
			return
		}
		if failed := err != nil; failed != failing {
			failing = failed
			w.o.Logger.LogAttrs(ctx, slog.LevelWarn, "sweeping of ended sessions", slog.Bool("failing", failing), slog.Any("error", err))
		}
	}
}

// Round looks at every due-list once, beginning anywhere, and at no more than
// Batch users of each. It returns how many it looked at, and what failed: the
// others were looked at all the same, unless the cache seems to be away.
func (w *Sweeper) Round(ctx context.Context) (users int, err error) {
	var failed []error
	first := mathrand.N(cache.DueLists)
	for i := range cache.DueLists {
		if ctx.Err() != nil || len(failed) == patience {
			break
		}
		n, err := w.list(ctx, (first+i)%cache.DueLists)
		users += n
		if err != nil {
			failed = append(failed, err)
		}
	}
	return users, errors.Join(failed...)
}

// list looks at the users that are due on one list.
func (w *Sweeper) list(ctx context.Context, list int) (users int, err error) {
	now := w.o.Now()
	until := now.Add(lease)
	members, err := w.o.Cache.LeaseDue(ctx, list, now, until, w.o.Batch)
	if err != nil {
		return 0, err
	}
	// In another order each time, so that the same few slots that cannot be read
	// do not keep a round from all others of the list.
	mathrand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	var failed []error
	for _, member := range members {
		if ctx.Err() != nil || len(failed) == patience {
			break
		}
		userID, _, _ := strings.Cut(member, "@")
		if !strings.HasPrefix(userID, host.UserIDPrefix) {
			continue // of a later version
		}
		users++
		if err := w.visit(ctx, list, member, userID, until); err != nil { // it is given out again when the lease ends
			failed = append(failed, fmt.Errorf("slot %s: %w", userID, err))
		}
	}
	return users, errors.Join(failed...)
}

// visit looks at one user, and sees to it that the next look is due before this
// one is done with. A panic is an error: one replica after the other is given the
// user, and would end by it.
func (w *Sweeper) visit(ctx context.Context, list int, member, userID string, until time.Time) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the host panicked: %v\n%s", r, debug.Stack())
		}
	}()
	l, err := w.sweep(ctx, userID)
	if err != nil {
		return err
	}
	if now := w.o.Now(); l.task != 0 && l.task <= now.UnixMilli() {
		w.ends.nudge(userID)
		l.task = now.Add(handover).UnixMilli()
	}
	for _, at := range []int64{l.next, l.task} {
		if at == 0 {
			continue
		}
		if _, err := putDue(ctx, w.o.Cache, userID, time.UnixMilli(at)); err != nil {
			return err
		}
	}
	return w.o.Cache.DropDue(ctx, list, member, until)
}

// look is when a user's slot needs another look; 0 for never.
type look struct {
	next int64 // for what ends
	task int64 // for what is to be told
}

// sweep removes from a slot what ended, on condition that it is still as it
// was read, and returns when to look again. The removal makes the event of what
// ended by itself, so that nobody else does.
func (w *Sweeper) sweep(ctx context.Context, userID string) (l look, err error) {
	wanted := w.ends.wants(userID)
	for range sweeps {
		all, err := w.o.Cache.All(ctx, userID)
		if err != nil {
			return l, err
		}
		now := w.o.Now()
		h, err := decodeHeader(all[headerField])
		if err != nil {
			w.o.Logger.LogAttrs(ctx, slog.LevelError, "a slot cannot be read", slog.String("user_id", userID), slog.Any("error", err))
			if l = (look{task: firstTask(all)}); l.task == 0 {
				l.next = now.Add(grace).UnixMilli()
			}
			return l, nil
		}
		fields, next := dead(all, h, now, 0, sweepMost)
		l = look{next, firstTask(all)}
		found := unread(all)
		if len(fields)+len(found) == 0 {
			return l, nil
		}
		c := telling{Change: cache.Change{If: append(fields, cache.Field{Name: headerField, Value: all[headerField]})}}
		if len(found) > 0 {
			until := now.Add(keepWaiting)
			if _, err := putDue(ctx, w.o.Cache, userID, until); err != nil {
				return l, err
			}
			keepUnread(&c.Change, all, found, until)
		}
		for _, f := range fields {
			c.Delete = append(c.Delete, f.Name)
		}
		told := false
		if wanted {
			if told, err = w.ends.addEnds(&c, userID, all, h, fields); err != nil {
				return l, err
			}
		}
		if told {
			l.task = now.UnixMilli()
		}
		applied, err := w.o.Cache.Change(ctx, userID, c.Change)
		c.made(applied, err)
		if err != nil {
			return l, err
		}
		if applied {
			w.sayUnread(ctx, userID, all, found, fields)
		}
		if applied && next != now.UnixMilli() {
			return l, nil
		}
	}
	return look{next: w.o.Now().UnixMilli()}, nil
}

// firstTask is when the first of what waits to be told is to be taken up; 0 if
// nothing waits.
func firstTask(all map[string][]byte) (first int64) {
	for name, raw := range all {
		t, next, err := task("", name, raw)
		if next = max(next, 1); err == nil && t != nil && (first == 0 || next < first) {
			first = next
		}
	}
	return first
}

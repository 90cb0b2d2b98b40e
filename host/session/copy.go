package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// CopyOptions says what to copy where. All must be set but Others.
type CopyOptions struct {
	From, To cache.Driver
	// Source names From, the same each time: what was copied from elsewhere is
	// left alone.
	Source string
	Now    func() time.Time
	// Others says of a slot that it is no user's: it is left out. nil: all are.
	Others func(slot string) bool
	// Refused is told of each user who was not copied and why, with an empty id
	// where only the error says who; never twice at a time.
	Refused func(userID string, err error)
}

// Copied is what became of the users of a cache that was copied.
type Copied struct {
	Users    int `json:"users"`    // who have a slot in the source
	Sessions int `json:"sessions"` // theirs, that count
	New      int `json:"new"`      // users written into the target
	Renewed  int `json:"renewed"`  // written again, for the source had changed since
	Removed  int `json:"removed"`  // taken out of the target, for the source has nothing of them any more
	Same     int `json:"same"`     // left as they were
	Others   int `json:"others"`   // slots that are no user's, left out
	Refused  int `json:"refused"`  // users and pages of users that were not copied
}

// Copy makes a cache hold what another holds: tokens, deadlines, generations,
// logouts, flags and attributes, byte by byte, and has the target's sweepers
// find what ends. The source is not changed. It may be repeated, after an
// interruption or to follow a source that is still in use: then what the
// source changed or ended since is changed or ended in the target too.
//
// What a user's slot held when Copy last looked at it holds in the target. It
// looks at each user until source and target agree, and once more when all are
// done; what is ended in the source after that is not ended in the target. So
// the last Copy is made when the source is no longer used.
//
// Nothing that ended in the target is brought back: a slot there that is not as
// Copy left it stays as it is. If the source has changed since it was copied,
// or the slot came from elsewhere, the user is refused. The error is that of a
// cache that does not answer, or of ctx.
func Copy(ctx context.Context, o CopyOptions) (Copied, error) {
	c := &copier{o: o}
	source := sha256.Sum256([]byte(o.Source))
	c.source = source[:8]
	err := walk(ctx, o.From, c.refuse, func(userID string) error {
		if o.Others != nil && o.Others(userID) {
			c.leaveOut()
			return nil
		}
		s, err := c.settle(ctx, userID)
		if err != nil {
			return tell(ctx, c.refuse, userID, err, o.From, o.To)
		}
		c.count(s)
		if s.result == refused {
			c.refuse(userID, s.why)
		}
		return nil
	})
	if err != nil || c.copied.Users == 0 {
		return c.copied, err
	}
	err = walk(ctx, o.To, c.refuse, func(userID string) error {
		if o.Others != nil && o.Others(userID) {
			return nil
		}
		if err := c.again(ctx, userID); err != nil {
			return tell(ctx, c.refuse, userID, err, o.From, o.To)
		}
		return nil
	})
	return c.copied, err
}

// copier is one Copy.
type copier struct {
	o      CopyOptions
	source []byte
	mu     sync.Mutex
	copied Copied
}

// result is what became of one user.
type result uint8

const (
	nothing result = iota // there is nothing of the user
	same
	refused
	fresh
	renewed
	removed
)

// settled is what became of one user, and what the source holds.
type settled struct {
	result   result
	why      error // of a refusal
	absent   bool  // in the source there is nothing that could count
	sessions int
}

func (c *copier) refuse(userID string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.copied.Refused++
	c.o.Refused(userID, err)
}

func (c *copier) leaveOut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.copied.Others++
}

func (c *copier) count(s settled) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.absent {
		c.copied.Users++
		c.copied.Sessions += s.sessions
	}
	switch s.result {
	case same:
		c.copied.Same++
	case fresh:
		c.copied.New++
	case renewed:
		c.copied.Renewed++
	case removed:
		c.copied.Removed++
	}
}

// again looks once more at a user of the target who was copied.
func (c *copier) again(ctx context.Context, userID string) error {
	got, err := c.o.To.Get(ctx, userID, markField)
	if err != nil {
		return err
	}
	if m, err := decodeMark(got[0]); err != nil || m == nil || !bytes.Equal(m.Source, c.source) {
		return nil // whose it is was told when it was to be copied
	}
	s, err := c.settle(ctx, userID)
	if err != nil {
		return err
	}
	if s.result == refused && s.absent {
		c.refuse(userID, s.why)
	}
	if s.result > refused {
		s.absent = true // counted before
		c.count(s)
	}
	return nil
}

// settlings bounds how often settle looks: twice is enough for a user whom
// nobody changes meanwhile.
const settlings = 128

// settle makes the target hold what the source holds of a user, until both are
// found to agree.
func (c *copier) settle(ctx context.Context, userID string) (s settled, err error) {
	var done result
	for range settlings {
		src, err := c.o.From.All(ctx, userID)
		if err != nil {
			return s, err
		}
		dst, err := c.o.To.All(ctx, userID)
		if err != nil {
			return s, err
		}
		p := plan{now: c.o.Now(), source: c.source, src: src, dst: dst}
		if s, err = p.judge(userID); err != nil || s.result <= refused {
			if s.result != refused && done != nothing {
				s.result = done
			}
			return s, err
		}
		applied, err := c.write(ctx, userID, &p, s.result)
		if err != nil {
			return s, err
		}
		if applied && (done == nothing || s.result == removed) {
			done = s.result
		}
	}
	return settled{}, errors.New("the user's slot was changed by others all the time")
}

// write makes one change of the target, with an entry on its due-lists for
// what ends next.
func (c *copier) write(ctx context.Context, userID string, p *plan, r result) (applied bool, err error) {
	if r == removed && len(p.tasks) == 0 {
		return c.o.To.Change(ctx, userID, p.removal())
	}
	var at time.Time
	if end, some := p.ends(); some {
		if at, err = putDue(ctx, c.o.To, userID, end); err != nil {
			return false, err
		}
	}
	applied, err = c.o.To.Change(ctx, userID, p.change())
	if now := c.o.Now(); applied && passed(at, now) {
		_, err = putDue(ctx, c.o.To, userID, now)
	}
	return applied, err
}

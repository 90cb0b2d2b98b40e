package session

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// Tally is what all slots of a cache were found to hold.
type Tally struct {
	Users          int   `json:"users"` // that have a slot
	Deactivated    int   `json:"deactivated"`
	Sessions       int   `json:"sessions"`        // that count
	Ended          int   `json:"ended"`           // sessions that count no more and wait to be swept
	Attributes     int   `json:"attributes"`      // sessions that have some
	AttributeBytes int   `json:"attribute_bytes"` // as they are stored
	Revocations    int   `json:"revocations"`     // of single JWTs
	Events         int   `json:"events"`          // ends of access that nobody was told of yet
	Messages       int   `json:"messages"`        // that tell of one and are not delivered yet
	Others         int   `json:"others"`          // fields of a kind that this version does not know
	Copied         int   `json:"copied"`          // users whose slot still says that it came from another cache
	Due            int   `json:"due"`             // entries of due-lists
	Overdue        int   `json:"overdue"`         // of them, those that no sweeper took within five minutes
	Bytes          int64 `json:"bytes"`           // keys, names and values, without what the driver adds
	Problems       int   `json:"problems"`        // slots and pages that cannot be read, and what is wrong in others
}

func (t *Tally) add(x Examination) {
	t.Users++
	t.Sessions += x.Sessions
	t.Ended += x.Ended
	t.Attributes += x.Attributes
	t.AttributeBytes += x.AttributeBytes
	t.Revocations += x.Revocations
	t.Events += x.Events
	t.Messages += x.Messages
	t.Others += x.Others
	t.Bytes += int64(x.Bytes)
	if x.Deactivated {
		t.Deactivated++
	}
	if x.Copied {
		t.Copied++
	}
}

// Others examine what a cache holds beside users' slots. Examine may be called
// by many goroutines at once; its error names what cannot be read.
type Others interface {
	Owns(slot string) bool
	Examine(slot string, all map[string][]byte) error
}

// Survey examines every slot of a cache, page by page, while others use it: that
// of a user itself, what is not by others, if they are not nil. It changes
// nothing. wrong is told of each slot that cannot be read or holds a
// record that cannot, with an empty key where only the driver's error names it;
// never twice at a time. The error is that of a cache that does not answer, or
// of ctx: then not everything was seen. A slot that the driver lists twice is
// counted twice.
func Survey(ctx context.Context, d cache.Driver, others Others, now func() time.Time, wrong func(key string, err error)) (Tally, error) {
	var t Tally
	var mu sync.Mutex
	report := func(key string, err error) {
		mu.Lock()
		defer mu.Unlock()
		t.Problems++
		wrong(key, err)
	}
	err := walk(ctx, d, report, func(key string) error {
		all, err := d.All(ctx, key)
		if err != nil {
			return tell(ctx, report, key, err, d)
		}
		if len(all) == 0 {
			return nil
		}
		if others != nil && others.Owns(key) {
			if err := others.Examine(key, all); err != nil {
				report(key, err)
			}
			return nil
		}
		x, err := Examine(key, all, now())
		if err != nil {
			report(key, err)
		}
		mu.Lock()
		defer mu.Unlock()
		t.add(x)
		return nil
	})
	if due, ok := d.(cache.DueLister); ok && err == nil {
		err = t.addDue(ctx, d, due, now, report)
	}
	return t, err
}

// overdue is how late an entry of a due-list is taken at the most, while there
// are sweepers and not more to do than they can.
const overdue = 5 * time.Minute

// addDue counts the entries of due-lists, and tells of those that nobody would
// find. Those of a later version are counted only.
func (t *Tally) addDue(ctx context.Context, d cache.Driver, lister cache.DueLister, now func() time.Time, wrong func(key string, err error)) error {
	for list := range cache.DueLists {
		for next := ""; ; {
			members, following, err := lister.ListDue(ctx, list, next)
			if err != nil {
				if away := tell(ctx, wrong, "", err, d); away != nil {
					return away
				}
			}
			for _, m := range members {
				t.Due++
				if m.At.Before(now().Add(-overdue)) {
					t.Overdue++
				}
				if userID, _, ok := strings.Cut(m.Name, "@"); ok && strings.HasPrefix(userID, host.UserIDPrefix) && dueList(userID) != list {
					wrong(userID, fmt.Errorf("the entry %q is on due-list %d, where nobody puts it", m.Name, list))
				}
			}
			if following == "" {
				break
			}
			next = following
		}
	}
	return ctx.Err()
}

const (
	walkPage  = 512 // slots asked for at a time
	walkAbout = 16  // of them looked at together
)

// walk calls visit with the key of every slot, several at a time, until one
// fails. What a page cannot show goes to wrong, unless the cache does not
// answer at all.
func walk(ctx context.Context, d cache.Driver, wrong func(key string, err error), visit func(key string) error) error {
	for next := ""; ; {
		keys, following, err := d.List(ctx, next, walkPage)
		if err != nil {
			if away := tell(ctx, wrong, "", err, d); away != nil {
				return away
			}
		}
		if err := together(slices.Compact(slices.Sorted(slices.Values(keys))), visit); err != nil {
			return err
		}
		if following == "" || err != nil && following == next {
			return ctx.Err()
		}
		next = following
	}
}

// tell tells wrong of a failure, unless one of the caches it may be of does not
// answer at all: then that is returned. Errors that are joined are told each.
func tell(ctx context.Context, wrong func(key string, err error), key string, err error, caches ...cache.Driver) error {
	for _, d := range caches {
		if away := d.Ping(ctx); away != nil {
			return away
		}
	}
	if list, ok := err.(interface{ Unwrap() []error }); ok { // a page's, one for each slot
		for _, err := range list.Unwrap() {
			wrong(key, err)
		}
		return nil
	}
	wrong(key, err)
	return nil
}

// together calls visit for each of keys, walkAbout at a time, until one fails.
func together(keys []string, visit func(key string) error) error {
	var all sync.WaitGroup
	queue := make(chan string)
	failures := make(chan error, walkAbout)
	for range min(walkAbout, len(keys)) {
		all.Go(func() {
			for key := range queue {
				if err := visit(key); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	var err error
	for _, key := range keys {
		select {
		case queue <- key:
			continue
		case err = <-failures:
		}
		break
	}
	close(queue)
	all.Wait()
	if err == nil {
		select {
		case err = <-failures:
		default:
		}
	}
	return err
}

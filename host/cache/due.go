package cache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// DueLists is how many due-lists there are, so that replicas share the work.
const DueLists = 64

// DueLister is a Driver that shows its due-lists and gives nothing out, for
// whoever counts and checks them. Every driver is one.
type DueLister interface {
	// ListDue returns members of a due-list, in an order of the driver's own and
	// as many as it likes, from where following of the call before points to (""
	// at first); following is "" after the last page, and a page may be empty.
	// What is put, given out or dropped between two pages may be left out or
	// come twice. With an error that names members which cannot be read come the
	// others of the page all the same, and where the next one begins.
	ListDue(ctx context.Context, list int, next string) (members []DueMember, following string, err error)
}

// DueMember is one member of a due-list.
type DueMember struct {
	Name string
	At   time.Time // when it is given out next
}

// Due is where one member of a due-list stands, in milliseconds since 1970. It
// is for drivers that hold it in memory while they change it.
type Due struct {
	At    int64 // what it was put to; 0: not since it was given out
	Until int64 // how long it is given out; 0: it is not
}

// Moment is when the member is given out next.
func (d Due) Moment() int64 {
	if d.Until != 0 {
		return d.Until
	}
	return d.At
}

// Put is where the member stands once it was put to a moment.
func (d Due) Put(at int64) Due {
	if d.At == 0 || at < d.At {
		d.At = at
	}
	if d.At < d.Until {
		d.Until = 0
	}
	return d
}

// Drop is where the member stands once a lease is ended: the zero Due is off
// the list.
func (d Due) Drop(until int64) Due {
	if d.Until == until {
		d.Until = 0
	}
	return d
}

// DueMillis returns a moment as due-lists keep it. Whatever is before 1970 has
// been due for long, and is never 0.
func DueMillis(t time.Time) int64 { return max(1, t.UnixMilli()) }

// CheckDue refuses a member that no due-list can hold.
func CheckDue(list int, member string) error {
	if member == "" {
		return errors.New("cache: a member of a due-list without a name")
	}
	return CheckList(list)
}

// CheckLease refuses a lease that would have ended before it began.
func CheckLease(list int, now, until time.Time) error {
	if DueMillis(until) <= DueMillis(now) {
		return errors.New("cache: a lease that ends before it begins")
	}
	return CheckList(list)
}

// CheckList refuses a due-list that there is not.
func CheckList(list int) error {
	if list < 0 || list >= DueLists {
		return fmt.Errorf("cache: there is no due-list %d", list)
	}
	return nil
}

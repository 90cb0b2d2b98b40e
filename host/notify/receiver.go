package notify

import (
	"math/rand/v2"
	"net/url"
	"sync"
	"time"
)

const (
	// maxUnderWay is how many messages are under way to one receiver.
	maxUnderWay = 4
	// busy is how long a message waits, at the most, for others to the same
	// receiver.
	busy = 500 * time.Millisecond
	// A receiver that does not answer is left alone for a pause, the first of
	// firstPause, each further one twice as long, mostPause at most.
	firstPause = 500 * time.Millisecond
	mostPause  = 10 * time.Second
	// A task that failed waits for firstWait, then twice as long each time,
	// mostWait at most. Of each, up to a half is taken off at random.
	firstWait = time.Second
	mostWait  = 5 * time.Minute
	// maxReceivers bounds how many are remembered.
	maxReceivers = 1024
)

// backoff is how long a task waits after so many tries.
func backoff(tries int) time.Duration { return jitter(double(firstWait, tries-1, mostWait)) }

func double(d time.Duration, times int, most time.Duration) time.Duration {
	return min(d<<min(max(times, 0), 20), most)
}

func jitter(d time.Duration) time.Duration { return d - rand.N(d/2) }

// receivers are those whom messages go to, by scheme, host and port.
type receivers struct {
	mu  sync.Mutex
	all map[string]*receiver
}

// receiver is one of them.
type receiver struct {
	underWay int
	failures int       // in a row
	until    time.Time // when the pause ends
}

// enter begins a message to a URL; nil and how long to wait, if its receiver is
// to be left alone for now. After a pause one message tries first.
func (r *receivers) enter(to string, now time.Time) (*receiver, time.Duration) {
	name := ""
	if u, err := url.Parse(to); err == nil {
		name = u.Scheme + "://" + u.Host
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.all[name]
	if one == nil {
		r.forget(now)
		one = &receiver{}
		r.all[name] = one
	}
	switch {
	case now.Before(one.until):
		return nil, one.until.Sub(now) + jitter(busy)
	case one.underWay >= maxUnderWay || one.failures > 0 && one.underWay > 0:
		return nil, jitter(busy)
	}
	one.underWay++
	return one, 0
}

// unsent ends a message that was not sent after all.
func (r *receivers) unsent(one *receiver) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one.underWay--
}

// leave ends a message.
func (r *receivers) leave(one *receiver, failed bool, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one.underWay--
	if !failed {
		one.failures = 0
		return
	}
	one.failures++
	one.until = now.Add(jitter(double(firstPause, one.failures-1, mostPause)))
}

// forget makes room: of those that are left alone for nothing.
func (r *receivers) forget(now time.Time) {
	if len(r.all) < maxReceivers {
		return
	}
	for name, one := range r.all {
		if one.underWay == 0 && !now.Before(one.until) {
			delete(r.all, name)
		}
	}
}

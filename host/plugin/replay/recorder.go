package replay

import (
	"hash/maphash"
	"maps"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authhost/authhost/host"
)

// Size is how many decisions a Recorder keeps.
const Size = 256

// A new decision is copied at most once in copyEvery in the long run, by the
// time at which requests came: a flood of distinct ones must not become a
// flood of copies. The first Size are free.
const copyEvery = time.Second / 64

// Recorder keeps the last distinct decisions of one version of a plugin. It
// may be used by many goroutines at once. Make one with NewRecorder.
type Recorder struct {
	seed maphash.Seed
	kept atomic.Pointer[map[uint64]*decision] // by hash; never changed, but replaced
	pace pace

	mu    sync.Mutex    // held to replace kept and raise count
	count atomic.Uint64 // of those ever kept
}

// decision is what is kept of one.
type decision struct {
	call        host.Call
	opinion     host.Opinion
	user, shape uint64        // hashes of what it may share with others
	number      uint64        // in order, from 1
	seen        atomic.Uint64 // the count when it was last made
}

// NewRecorder returns a Recorder that has seen nothing.
func NewRecorder() *Recorder { return newRecorder(maphash.MakeSeed()) }

func newRecorder(seed maphash.Seed) *Recorder {
	r := &Recorder{seed: seed}
	r.kept.Store(&map[uint64]*decision{})
	return r
}

// Len returns how many decisions are kept.
func (r *Recorder) Len() int { return len(*r.kept.Load()) }

// Record notes what the plugin answered to a call, of which it keeps copies
// alone. A call that failed has no opinion and is not to be recorded. What was
// seen already costs a look-up, without a lock; what is large, or repeats a
// credential where plugins would see it, is left out.
func (r *Recorder) Record(c *host.Call, o host.Opinion) {
	key := r.hash(c, &o)
	if d := (*r.kept.Load())[key]; d != nil {
		if n := r.count.Load(); d.seen.Load() != n {
			d.seen.Store(n)
		}
		return
	}
	if !r.pace.allows(c.Now.UnixNano()) {
		return
	}
	call, ok := copyCall(c, &o)
	if !ok {
		return
	}
	r.keep(key, &decision{call: call, opinion: copyOpinion(c, o)})
}

// keep adds a decision, in place of another if there is no room.
func (r *Recorder) keep(key uint64, d *decision) {
	d.user, d.shape = r.alike(&d.call, &d.opinion)
	r.mu.Lock()
	defer r.mu.Unlock()
	before := *r.kept.Load()
	if before[key] != nil {
		return
	}
	d.number = r.count.Add(1)
	d.seen.Store(d.number)
	after := maps.Clone(before)
	if len(after) >= Size {
		delete(after, dispensable(after))
	}
	after[key] = d
	r.kept.Store(&after)
}

// dispensable returns the key of the decision to displace: the one that went
// unseen the longest of those that share the most with others.
func dispensable(all map[uint64]*decision) uint64 {
	users, shapes := map[uint64]int{}, map[uint64]int{}
	for _, d := range all {
		users[d.user]++
		shapes[d.shape]++
	}
	var worst *decision
	var found uint64
	most := 0
	for key, d := range all {
		n := users[d.user] + shapes[d.shape]
		if worst == nil || n > most || n == most && d.olderThan(worst) {
			worst, found, most = d, key, n
		}
	}
	return found
}

func (d *decision) olderThan(other *decision) bool {
	if a, b := d.seen.Load(), other.seen.Load(); a != b {
		return a < b
	}
	return d.number < other.number
}

// hash tells distinct decisions apart.
func (r *Recorder) hash(c *host.Call, o *host.Opinion) uint64 {
	m := mix{seed: r.seed}
	m.text(c.Request.Method)
	m.text(c.Request.Host)
	m.text(c.Request.Path)
	m.text(c.Route)
	m.text(c.Realm)
	m.text(c.Credential.Label())
	if id := c.Identity; id != nil {
		m.text(id.UserID)
		m.texts(id.Roles)
		m.texts(id.Groups)
	}
	m.opinion(c, o)
	return m.sum
}

// alike returns hashes of what a decision may share with others: of the user,
// and of all else but what a client chooses freely.
func (r *Recorder) alike(c *host.Call, o *host.Opinion) (user, shape uint64) {
	u, s := mix{seed: r.seed}, mix{seed: r.seed}
	s.text(c.Route)
	s.text(c.Realm)
	if id := c.Identity; id != nil {
		u.text(id.UserID)
		s.texts(id.Roles)
	}
	s.opinion(c, o)
	return u.sum, s.sum
}

// mix hashes texts one after the other, so that none runs into the next.
type mix struct {
	seed maphash.Seed
	sum  uint64
}

func (m *mix) number(n uint64) { m.sum = (bits.RotateLeft64(m.sum, 23) ^ n) * 0x9e3779b97f4a7c15 }

func (m *mix) text(s string) { m.number(maphash.String(m.seed, s)) }

func (m *mix) texts(list []string) {
	m.number(uint64(len(list)))
	for _, s := range list {
		m.text(s)
	}
}

// opinion hashes an answer but for a credential in it: whoever renews a token
// has no new decision.
func (m *mix) opinion(c *host.Call, o *host.Opinion) {
	m.number(uint64(o.Effect)<<8 | uint64(o.Kind))
	m.text(c.Blank(o.Reason))
	m.number(uint64(len(o.Headers)))
	for i := range o.Headers {
		m.text(o.Headers[i].Name)
		m.text(c.Blank(o.Headers[i].Value))
	}
}

// pace lets Size through at once and one in copyEvery after that (the generic
// cell rate algorithm).
type pace struct{ due atomic.Int64 } // when all that was let through is paid for

func (p *pace) allows(now int64) bool {
	for {
		was := p.due.Load()
		due := max(was, now)
		if was-now > int64(Size*copyEvery) {
			due = now // the clock went back
		}
		due += int64(copyEvery)
		if due-now > int64(Size*copyEvery) {
			return false
		}
		if p.due.CompareAndSwap(was, due) {
			return true
		}
	}
}

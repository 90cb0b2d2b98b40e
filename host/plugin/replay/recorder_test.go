package replay_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin/replay"
)

func TestWhatIsDistinct(t *testing.T) {
	distinct := []func(c *host.Call, o *host.Opinion){
		func(*host.Call, *host.Opinion) {},
		func(c *host.Call, _ *host.Opinion) { c.Request.Method = "GET" },
		func(c *host.Call, _ *host.Opinion) { c.Request.Host = "other.example" },
		func(c *host.Call, _ *host.Opinion) { c.Request.Path = "/b" },
		func(c *host.Call, _ *host.Opinion) { c.Route = "/b/**" },
		func(c *host.Call, _ *host.Opinion) { c.Realm = "staff" },
		func(c *host.Call, _ *host.Opinion) { c.Credential.Source = host.FromCookie },
		func(c *host.Call, _ *host.Opinion) { c.Identity = nil },
		func(c *host.Call, _ *host.Opinion) { c.Identity.UserID = "usr_bob" },
		func(c *host.Call, _ *host.Opinion) { c.Identity.Roles = []string{"viewereditor"} },
		func(c *host.Call, _ *host.Opinion) {
			c.Identity.Roles = []string{"viewer", "editor", "ops"}
			c.Identity.Groups = nil
		},
		func(_ *host.Call, o *host.Opinion) { o.Effect = host.Deny },
		func(_ *host.Call, o *host.Opinion) { o.Effect, o.Kind = host.Deny, host.NotFound },
		func(_ *host.Call, o *host.Opinion) { o.Reason = "so" },
		func(_ *host.Call, o *host.Opinion) { o.Headers = []host.Header{{Name: "X-A", Value: "1"}} },
		func(_ *host.Call, o *host.Opinion) { o.Headers = []host.Header{{Name: "X-A", Value: "2"}} },
	}
	r := replay.NewRecorder()
	for range 2 {
		for _, vary := range distinct {
			c, o := call("/a"), allowed
			vary(c, &o)
			r.Record(c, o)
		}
	}
	if r.Len() != len(distinct) {
		t.Errorf("%d decisions are kept, want %d", r.Len(), len(distinct))
	}
	for i := range 100 {
		c := call("/a")
		c.Query, c.Now = "page="+strconv.Itoa(i), noon.Add(second)
		c.Request.Header["X-Request-Id"] = []string{strconv.Itoa(i)}
		r.Record(c, allowed)
	}
	if r.Len() != len(distinct) {
		t.Errorf("%d decisions are kept after the same again", r.Len())
	}
}

// among returns a call of a user with a role, at a second.
func among(user, role, path string, at int) *host.Call {
	c := call(path)
	c.Identity.UserID, c.Identity.Roles = user, []string{role}
	c.Now = noon.Add(time.Duration(at) * second)
	return c
}

// Whoever floods displaces their like, and nobody else.
func TestWhatIsDisplaced(t *testing.T) {
	for name, flood := range map[string]func(i int) (*host.Call, host.Opinion){
		"one user, one path, other reasons": func(i int) (*host.Call, host.Opinion) {
			return among("usr_mallory", "viewer", "/a", i), host.Opinion{Effect: host.Deny, Reason: strconv.Itoa(i)}
		},
		"one user, all paths": func(i int) (*host.Call, host.Opinion) {
			return among("usr_mallory", "viewer", path(i), i), host.Opinion{}
		},
		"one user, all methods and reasons": func(i int) (*host.Call, host.Opinion) {
			c := among("usr_mallory", "viewer", path(i), i)
			c.Request.Method = "M" + strconv.Itoa(i)
			return c, host.Opinion{Reason: strconv.Itoa(i)}
		},
		"a crowd on one page": func(i int) (*host.Call, host.Opinion) {
			return among("usr_"+strconv.Itoa(i), "viewer", "/a", i), host.Opinion{}
		},
	} {
		r := replay.NewRecorder()
		rare := map[string]bool{}
		for i := range 20 {
			c := among(fmt.Sprintf("usr_rare%d", i), "role"+strconv.Itoa(i), "/admin", 0)
			rare[c.Identity.UserID] = true
			r.Record(c, denied)
		}
		for i := range 2000 {
			r.Record(flood(i))
		}
		calls := kept(r)
		left := 0
		for _, c := range calls {
			if rare[c.Identity.UserID] {
				left++
			}
		}
		if left != len(rare) || len(calls) != replay.Size {
			t.Errorf("%s: %d of %d rare decisions are left, of %d", name, left, len(rare), len(calls))
		}
		// Of the flood it is the last that is left.
		last, _ := flood(1999)
		if got := calls[len(calls)-1]; got.Request.Path != last.Request.Path || got.Identity.UserID != last.Identity.UserID || !got.Now.Equal(last.Now) {
			t.Errorf("%s: the last decision is %+v", name, got)
		}
	}
}

// Of decisions that are alike, the one that went unseen the longest goes.
func TestTheOldestGoes(t *testing.T) {
	r := replay.NewRecorder()
	for i := range replay.Size {
		r.Record(among("usr_a", "viewer", path(i), 0), allowed)
	}
	r.Record(among("usr_a", "viewer", path(0), 1), allowed) // seen again
	r.Record(among("usr_a", "viewer", "/new", 2), allowed)
	paths := map[string]bool{}
	for _, c := range kept(r) {
		paths[c.Request.Path] = true
	}
	if len(paths) != replay.Size || !paths[path(0)] || paths[path(1)] || !paths[path(2)] || !paths["/new"] {
		t.Errorf("%d are left, 0: %v, 1: %v", len(paths), paths[path(0)], paths[path(1)])
	}
}

// A flood of new decisions is not a flood of copies.
func TestPace(t *testing.T) {
	r, n := replay.NewRecorder(), 0
	for _, step := range []struct{ at, want int }{{0, 256}, {1, 64}, {1, 0}, {2, 64}, {100, 256}, {-1000, 256}, {-1000, 0}} { // the clock went back
		fresh := map[string]bool{}
		for range 300 {
			c := call(path(n))
			c.Now = noon.Add(time.Duration(step.at) * second)
			fresh[path(n)] = true
			r.Record(c, allowed)
			n++
		}
		taken := 0
		for _, c := range kept(r) {
			if fresh[c.Request.Path] {
				taken++
			}
		}
		if taken != step.want {
			t.Errorf("second %d: %d are taken, want %d", step.at, taken, step.want)
		}
	}
}

func TestRecordSeenDoesNotAllocate(t *testing.T) {
	r, c := replay.NewRecorder(), call("/a")
	c.Request.Path = "/" + string(make([]byte, 4096))
	o := host.Opinion{Effect: host.Allow, Headers: []host.Header{{Name: "X-A", Value: "1"}}}
	r.Record(c, o)
	if n := testing.AllocsPerRun(1000, func() { r.Record(c, o) }); n > 0 || r.Len() != 1 {
		t.Errorf("%v allocations, %d kept", n, r.Len())
	}
}

func TestHammer(t *testing.T) {
	r := replay.NewRecorder()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				r.Record(among("usr_"+strconv.Itoa(g), "viewer", path(i%400), i), allowed)
				if i%500 == 0 {
					if report := r.Replay(t.Context(), always(allowed)); report.Asked > replay.Size || report.Changed != nil {
						t.Errorf("%+v", report)
					}
				}
			}
		})
	}
	wg.Wait()
	if r.Len() != replay.Size {
		t.Errorf("%d are kept", r.Len())
	}
}

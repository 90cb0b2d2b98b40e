package plugin_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// everyHook is the hooks that are asked about somebody.
var everyHook = []abi.Hook{abi.OnCredential, abi.OnAuthorize, abi.OnLogin, abi.OnLogout}

// about is a call of a hook about the nth of those who come by. Only
// on_authorize has a session.
func about(hook abi.Hook, n int) *host.Call {
	c := inSession()
	switch hook {
	case abi.OnCredential:
		c.Identity, c.Candidates = nil, []host.Candidate{{Source: host.FromHeader, Name: "Authorization"}, {Source: host.FromCookie, Name: "kc_auth"}}
		c.Request.Client = netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
		return c
	case abi.OnLogin:
		c = login()
	case abi.OnLogout:
		c = ended()
		c.Ended.UserID = fmt.Sprint("usr_", n)
		return c
	}
	return by(c, n)
}

// put puts a call to a hook. It returns the calls that on_logout asks for, and
// fails the test if another hook does anything but go on.
func put(t *testing.T, p *plugin.Plugin, hook abi.Hook, c *host.Call) (list []host.Fetch, err error) {
	t.Helper()
	went := true
	switch hook {
	case abi.OnCredential:
		var got host.Choice
		got, err = p.Choose(t.Context(), c)
		went = got.Effect == host.Abstain
	case abi.OnAuthorize:
		var got host.Opinion
		got, err = p.Authorize(t.Context(), c)
		went = got.Effect == host.Abstain
	case abi.OnLogin:
		var got host.Admission
		got, err = p.Admit(t.Context(), c)
		went = !got.Refused
	case abi.OnLogout:
		list, err = p.Notify(t.Context(), c)
	}
	if !went {
		t.Errorf("%s did not go on", hook)
	}
	return list, err
}

// goingOn adds a hook with that body, which then goes on.
func goingOn(m Module, h abi.Hook, body ...[]byte) Module {
	return hook(m, h.String(), Join(body...), result(abi.CodeGoOn, 0))
}

// orTrap traps unless the call of the function with that index returns what it
// is to: no answer of on_logout could tell.
func (c hostCall) orTrap(index int) []byte {
	if c.im.Results == nil {
		return c.pushTo(index)
	}
	return Join(c.pushTo(index), Const32(c.want), Op(0x47, 0x04, 0x40, Unreachable, 0x0b)) // i32.ne, if
}

// Each hook has a breaker of its own: one that fails whoever it is about is not
// asked for a while, the others are, and a stranger's call that is answered ends
// that.
func TestBreakerOfEachHook(t *testing.T) {
	const failing = 10 // in a row, by three at least, over a second
	for _, failed := range everyHook {
		t.Run(failed.String(), func(t *testing.T) {
			m := base()
			for _, h := range everyHook {
				if h == failed {
					m = goingOn(m, h, onCue(Op(Unreachable)))
				} else {
					m = goingOn(m, h)
				}
			}
			var passed atomic.Int64
			counted := newCounts()
			p := load(t, plugin.Options{Module: m.Encode(), Metrics: counted, Now: func() time.Time { return time.Unix(1_800_000_000, passed.Load()) }})
			cued := func(n int) *host.Call {
				c := about(failed, n)
				if c.Query = strings.Repeat("x", 2000); c.Ended != nil {
					c.Ended.Issuer = c.Query
				}
				return c
			}
			open := func() bool {
				t.Helper()
				found, open := 0, false
				for _, b := range p.Health().Breakers {
					if found++; b.Hook == failed.String() {
						open = b.Open
					} else if b.Open {
						t.Errorf("%+v", b)
					}
				}
				shown := counted.open["guest "+failed.String()]
				if found != len(everyHook) || shown != map[bool]int{true: 1}[open] {
					t.Errorf("%d breakers; open %v, shown %d times", found, open, shown)
				}
				return open
			}
			for n := range failing {
				if open() {
					t.Fatalf("open after %d", n)
				}
				passed.Add(int64(time.Second))
				_, err := put(t, p, failed, cued(n))
				fails(t, err, "unreachable")
			}
			if !open() {
				t.Fatal("it did not open")
			}
			asked := func() int { return counted.calls["guest "+failed.String()] }
			for n := range 20 { // strangers, and what would be answered
				_, err := put(t, p, failed, about(failed, 100+n))
				if fails(t, err, "the breaker is open"); asked() != failing {
					t.Fatalf("it was asked %d times", asked())
				}
			}
			for _, h := range everyHook {
				if h == failed {
					continue
				}
				if _, err := put(t, p, h, about(h, 1)); err != nil {
					t.Errorf("%s: %v", h, err)
				}
			}
			passed.Add(int64(time.Minute))
			if _, err := put(t, p, failed, about(failed, 200)); err != nil || asked() != failing+1 || open() {
				t.Errorf("after the pause: %v, asked %d times", err, asked())
			}
		})
	}
}

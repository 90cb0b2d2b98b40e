package login_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/sdk/fetch"
	"github.com/authhost/authhost/sdk/internal/fakehost"
	"github.com/authhost/authhost/sdk/internal/guest"
	"github.com/authhost/authhost/sdk/login"
)

func handle(t *testing.T, h func(*login.Request) login.Decision) {
	t.Helper()
	login.Handle(h)
	t.Cleanup(login.Reset)
}

func TestRequest(t *testing.T) {
	host := fakehost.Host{Values: map[fakehost.Key][]string{{Kind: guest.GetHeader, Name: "X-A"}: {"one"}, {Kind: guest.GetClaim, Name: "amr"}: {"otp"}}}
	handle(t, func(r *login.Request) login.Decision {
		header, _ := r.Header("X-A")
		claim, _ := r.Claim("amr")
		for name, pair := range map[string][2]string{
			"Method": {r.Method(), "POST"}, "Path": {r.Path(), "/v1/login"}, "Client": {r.Client(), "203.0.113.7"}, "Realm": {r.Realm(), "main"},
			"UserID": {r.UserID(), "usr_mfrggzdfmztwq2lknnwg23tpobyxe43u"}, "Credential": {r.Credential(), "header/jwt"}, "Header": {header, "one"}, "Claim": {claim, "otp"},
			"Route": {r.Route(), ""},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s is %q, want %q", name, pair[0], pair[1])
			}
		}
		if !r.HasRole("viewer") || r.Time() != 1767225600 || r.Idle() != 1767229200000 || r.Absolute() != 1767232800000 {
			t.Errorf("time %d, deadlines %d and %d", r.Time(), r.Idle(), r.Absolute())
		}
		return login.GoOn()
	})
	if got := login.Serve(host.Put(t, "on_login")); got != 0 {
		t.Errorf("going on returned %#x", got)
	}
}

func TestDecisions(t *testing.T) {
	var next login.Decision
	handle(t, func(*login.Request) login.Decision { return next })
	n := 0
	for _, v := range fakehost.Answers(t, "on_login") {
		next = map[uint32]login.Decision{guest.CodeGoOn: login.GoOn(), guest.CodeNo: login.Refuse(""), guest.CodeFetch: login.Fetch(v.Fetch())}[v.Code].Reason(string(v.Answer.Reason))
		if v.Answer.Status != 0 {
			next = next.Status(v.Answer.Status)
		}
		for _, h := range v.Answer.Headers {
			next = next.Header(string(h[0]), string(h[1]))
		}
		if v.Answer.Idle != 0 {
			next = next.Idle(v.Answer.Idle)
		}
		if v.Answer.Absolute != 0 {
			next = next.Absolute(v.Answer.Absolute)
		}
		for _, a := range v.Answer.Attributes {
			next = next.Attribute(string(a[0]), string(a[1]))
		}
		want, result := v.Result(t)
		var host fakehost.Host
		if got := login.Serve(host.Put(t, "on_login")); got != result || !bytes.Equal(guest.Buffer()[:len(want)], want) {
			t.Errorf("%s: result %#x, want %#x", v.Name, got, result)
		}
		n++
	}
	if n < 5 {
		t.Errorf("%d vectors", n)
	}
}

// A Decision is a value: what is made of one leaves it as it was.
func TestDecisionIsAValue(t *testing.T) {
	var next login.Decision
	handle(t, func(*login.Request) login.Decision { return next })
	answer := func(d login.Decision) string {
		var host fakehost.Host
		next = d
		n := login.Serve(host.Put(t, "on_login")) >> 32
		return string(guest.Buffer()[:n])
	}
	base := login.GoOn().Attribute("a", "1").Attribute("b", "2").Attribute("c", "3")
	left := base.Attribute("d", "left")
	right := base.Attribute("d", "right")
	if l, r := answer(left), answer(right); !strings.HasSuffix(l, "\x01\x00dleft") || !strings.HasSuffix(r, "\x01\x00dright") || strings.Contains(answer(base), "d") {
		t.Errorf("decisions share what they are made of: %q, %q", l, r)
	}
}

// The way of a decision allocates nothing, whatever it looks at.
func TestNoAllocation(t *testing.T) {
	host := fakehost.Host{Values: map[fakehost.Key][]string{{Kind: guest.GetClaim, Name: "amr"}: {"otp"}}}
	var refuse bool
	handle(t, func(r *login.Request) login.Decision {
		amr, _ := r.Claim("amr")
		if refuse || !r.HasRole("viewer") {
			return login.Refuse("not now").Status(429).Header("Retry-After", "60").Header("X-Realm", r.Realm())
		}
		return login.GoOn().Reason(r.Client()).Idle(r.Idle()-1).Absolute(r.Absolute()-r.Time()).Attribute("amr", amr).Attribute("user", r.UserID())
	})
	// Put restores the frame that the answer before has overwritten.
	n := host.Put(t, "on_login")
	saved := slices.Clone(guest.Buffer()[:n])
	for _, refuse = range []bool{false, true} {
		allocs := testing.AllocsPerRun(100, func() {
			copy(guest.Buffer(), saved)
			if got := login.Serve(n); got>>32 == 0 || refuse != (uint32(got) == guest.CodeNo) {
				t.Fatalf("result %#x", got)
			}
		})
		if allocs != 0 {
			t.Errorf("refused %t: %v allocations", refuse, allocs)
		}
	}
}

func TestMisuse(t *testing.T) {
	for _, f := range []func(){
		func() { login.GoOn().Status(403) },
		func() { login.Refuse("no").Status(404) },
		func() { login.GoOn().Header("Retry-After", "1") },
		func() { login.Refuse("no").Idle(1) },
		func() { login.Refuse("no").Absolute(1) },
		func() { login.GoOn().Idle(0) },
		func() { login.GoOn().Absolute(0) },
		func() { login.Fetch(fetch.Get("https://a.example")).Attribute("a", "b") },
		func() { login.Serve(0) },
		func() {
			handle(t, func(*login.Request) login.Decision { return login.GoOn() })
			login.Handle(nil)
		},
	} {
		fakehost.Panics(t, f)
	}
}

package authorize_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/sdk/authorize"
	"github.com/authhost/authhost/sdk/internal/fakehost"
	"github.com/authhost/authhost/sdk/internal/guest"
)

func handle(t *testing.T, h func(*authorize.Request) authorize.Decision) {
	t.Helper()
	authorize.Handle(h)
	t.Cleanup(authorize.Reset)
}

const user = "usr_mfrggzdfmztwq2lknnwg23tpobyxe43u"

func TestRequest(t *testing.T) {
	host := fakehost.Host{Values: map[fakehost.Key][]string{
		{Kind: guest.GetHeader, Name: "X-A"}:          {"one", ""},
		{Kind: guest.GetCookie, Name: "theme"}:        {"dark", "light"},
		{Kind: guest.GetQuery, Name: "dry"}:           {"1", "2"},
		{Kind: guest.GetClaim, Name: "/address/city"}: {"Zürich"},
	}}
	handle(t, func(r *authorize.Request) authorize.Decision {
		for name, pair := range map[string][2]string{
			"Method":     {r.Method(), "POST"},
			"Scheme":     {r.Scheme(), "https"},
			"Host":       {r.Host(), "console.example"},
			"Path":       {r.Path(), "/api/gitops/sync"},
			"RawPath":    {r.RawPath(), "/api/gitops/sync"},
			"Query":      {r.Query(), "dry=1"},
			"Client":     {r.Client(), "203.0.113.7"},
			"Route":      {r.Route(), "/**"},
			"Realm":      {r.Realm(), "main"},
			"UserID":     {r.UserID(), user},
			"Issuer":     {r.Issuer(), "https://idp.example"},
			"Subject":    {r.Subject(), "ada"},
			"Email":      {r.Email(), "ada@example.com"},
			"SessionID":  {r.SessionID(), "ses_mfrggzdfmztwq"},
			"Credential": {r.Credential(), "cookie/session"},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s is %q, want %q", name, pair[0], pair[1])
			}
		}
		if r.Time() != 1767225600 || r.Expires() != 1767254400 || r.Anonymous() {
			t.Errorf("time %d, expires %d, anonymous %t", r.Time(), r.Expires(), r.Anonymous())
		}
		if roles := slices.Collect(r.Roles); !slices.Equal(roles, []string{"viewer", "editor"}) ||
			!r.HasRole("editor") || r.HasRole("edit") || r.HasRole("") {
			t.Errorf("roles %q", roles)
		}
		if groups := slices.Collect(r.Groups); !slices.Equal(groups, []string{"gitops", "café"}) ||
			!r.HasGroup("café") || r.HasGroup("cafe") {
			t.Errorf("groups %q", groups)
		}
		got := func(value string, ok bool) string {
			if !ok {
				return "absent"
			}
			return "=" + value
		}
		for name, pair := range map[string][2]string{
			"Header":         {got(r.Header("X-A")), "=one"},
			"HeaderAt 0":     {got(r.HeaderAt("X-A", 0)), "=one"},
			"HeaderAt 1":     {got(r.HeaderAt("X-A", 1)), "="},
			"HeaderAt 2":     {got(r.HeaderAt("X-A", 2)), "absent"},
			"Authorization":  {got(r.Header("Authorization")), "absent"},
			"Cookie":         {got(r.Cookie("theme")), "=dark"},
			"CookieAt":       {got(r.CookieAt("theme", 1)), "=light"},
			"QueryParam":     {got(r.QueryParam("dry")), "=1"},
			"QueryParamAt":   {got(r.QueryParamAt("dry", 1)), "=2"},
			"Claim":          {got(r.Claim("/address/city")), "=Zürich"},
			"Claim, unknown": {got(r.Claim("sub")), "absent"},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s is %q, want %q", name, pair[0], pair[1])
			}
		}
		return authorize.Abstain()
	})
	if got := authorize.Serve(host.Put(t, "on_authorize with every field")); got != 0 {
		t.Errorf("abstaining returned %#x", got)
	}
}

func TestAnonymousRequest(t *testing.T) {
	handle(t, func(r *authorize.Request) authorize.Decision {
		if !r.Anonymous() || r.UserID() != "" || r.HasRole("") || r.Expires() != 0 || len(slices.Collect(r.Groups)) > 0 {
			t.Error("an anonymous request names somebody")
		}
		return authorize.Deny("who are you?")
	})
	var host fakehost.Host
	if got := authorize.Serve(host.Put(t, "on_authorize of an anonymous request")); uint32(got) != guest.CodeNo {
		t.Errorf("deny returned %#x", got)
	}
}

func TestDecisions(t *testing.T) {
	var next authorize.Decision
	handle(t, func(*authorize.Request) authorize.Decision { return next })
	for _, v := range fakehost.Answers(t, "on_authorize") {
		if v.Reordered || len(v.Answer.Headers) > authorize.MaxHeaders {
			continue
		}
		next = [...]authorize.Decision{authorize.Abstain(), authorize.Allow(), authorize.Deny(""), authorize.Fetch(v.Fetch())}[v.Code]
		next = next.Reason(string(v.Answer.Reason))
		if v.Answer.Status != 0 {
			next = next.Status(v.Answer.Status)
		}
		for _, h := range v.Answer.Headers {
			next = next.Header(string(h[0]), string(h[1]))
		}
		want, result := v.Result(t)
		var host fakehost.Host
		got := authorize.Serve(host.Put(t, "example on_authorize"))
		if got != result || !bytes.Equal(guest.Buffer()[:len(want)], want) {
			t.Errorf("%s: result %#x, want %#x; bytes %x, want %x", v.Name, got, result, guest.Buffer()[:len(want)], want)
		}
	}
}

// A Decision is a value: what is made of one leaves it as it was.
func TestDecisionIsAValue(t *testing.T) {
	base := authorize.Deny("no").Header("X-A", "1")
	left, right := base.Header("X-B", "2").Status(404), base.Header("X-C", "3")
	if left == right || base != authorize.Deny("no").Header("X-A", "1") ||
		right != authorize.Deny("").Reason("no").Header("X-A", "1").Header("X-C", "3") {
		t.Error("decisions share what they are made of")
	}
	if authorize.Abstain() != (authorize.Decision{}) {
		t.Error("the zero value does not abstain")
	}
}

func TestMistakesPanic(t *testing.T) {
	full := authorize.Allow()
	for range authorize.MaxHeaders {
		full = full.Header("X-A", strings.Repeat("v", 4096))
	}
	for name, f := range map[string]func(){
		"a status with an allow":    func() { authorize.Allow().Status(403) },
		"a status with an abstain":  func() { authorize.Abstain().Status(403) },
		"a status that is none":     func() { authorize.Deny("").Status(200) },
		"a ninth header":            func() { full.Header("X-B", "") },
		"no handler":                func() { authorize.Serve(0) },
		"an answer of 32 KiB":       func() { serveOnce(t, full) },
		"Handle twice":              func() { handle(t, nil); handle(t, abstain); handle(t, abstain) },
		"a frame that is not there": func() { authorize.Serve(0) },
	} {
		t.Run(name, func(t *testing.T) {
			if text := fakehost.Panics(t, f); strings.Contains(text, "runtime error") {
				t.Errorf("panic: %s", text)
			}
		})
	}
}

func abstain(*authorize.Request) authorize.Decision { return authorize.Abstain() }

func serveOnce(t *testing.T, d authorize.Decision) uint64 {
	handle(t, func(*authorize.Request) authorize.Decision { return d })
	var host fakehost.Host
	return authorize.Serve(host.Put(t, "example on_authorize"))
}

// The way of a decision allocates nothing, whatever it looks at.
func TestNoAllocation(t *testing.T) {
	host := fakehost.Host{Values: map[fakehost.Key][]string{
		{Kind: guest.GetHeader, Name: "X-A"}: {"one"},
		{Kind: guest.GetClaim, Name: "team"}: {"ops"},
	}}
	for _, frame := range []string{"on_authorize with every field", "a list that does not fit is lazy"} {
		var decided bool
		authorize.Handle(func(r *authorize.Request) authorize.Decision {
			for role := range r.Roles {
				decided = decided || role == "editor" && r.HasRole(role)
			}
			a, _ := r.Header("X-A")
			team, _ := r.Claim("team")
			if !decided || r.Method() == "" || r.Anonymous() || a != "one" {
				return authorize.Abstain()
			}
			return authorize.Deny("this needs another role").Status(403).Header("X-Team", team).Header("X-User", r.UserID())
		})
		// Put restores the frame that the answer before has overwritten.
		n := host.Put(t, frame)
		saved := slices.Clone(guest.Buffer()[:n])
		allocs := testing.AllocsPerRun(100, func() {
			copy(guest.Buffer(), saved)
			decided = false
			if authorize.Serve(n)>>32 == 0 {
				t.Fatal("abstained")
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", frame, allocs)
		}
		authorize.Reset()
	}
}

func BenchmarkDeny(b *testing.B) {
	t := new(testing.T)
	var host fakehost.Host
	n := host.Put(t, "on_authorize with every field")
	saved := slices.Clone(guest.Buffer()[:n])
	authorize.Handle(func(r *authorize.Request) authorize.Decision {
		if r.Method() == "POST" && r.Path() == "/api/gitops/sync" && !r.HasRole("admin") {
			return authorize.Deny("rules[0]: needs admin")
		}
		return authorize.Abstain()
	})
	defer authorize.Reset()
	b.ReportAllocs()
	for b.Loop() {
		copy(guest.Buffer(), saved)
		authorize.Serve(n)
	}
}

package logout_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/authhost/authhost/sdk/internal/fakehost"
	"github.com/authhost/authhost/sdk/internal/guest"
	"github.com/authhost/authhost/sdk/logout"
)

func handle(t *testing.T, h func(*logout.Event) logout.Answer) {
	t.Helper()
	logout.Handle(h)
	t.Cleanup(logout.Reset)
}

const user = "usr_mfrggzdfmztwq2lknnwg23tpobyxe43u"

func TestEvent(t *testing.T) {
	handle(t, func(e *logout.Event) logout.Answer {
		for name, pair := range map[string][2]string{
			"ID": {e.ID(), "evt_mfrggzdfmztwq"}, "Realm": {e.Realm(), "main"}, "UserID": {e.UserID(), user}, "Issuer": {e.Issuer(), "https://idp.example"},
			"Subject": {e.Subject(), "ada"}, "What": {e.What(), logout.Session}, "Why": {e.Why(), "session_ended"}, "ByRank": {e.ByRank(), "realm_admin"},
			"ByID": {e.ByID(), user}, "SessionID": {e.SessionID(), "ses_mfrggzdfmztwq"},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s is %q, want %q", name, pair[0], pair[1])
			}
		}
		if got := slices.Collect(e.Sessions); e.At() != 1767225600123 || !slices.Equal(got, []string{"ses_mfrggzdfmztwq"}) {
			t.Errorf("at %d, sessions %q", e.At(), got)
		}
		return logout.Nothing()
	})
	var host fakehost.Host
	if got := logout.Serve(host.Put(t, "on_logout of a session")); got != 0 {
		t.Errorf("nothing returned %#x", got)
	}
}

func TestEventOfTheHost(t *testing.T) {
	handle(t, func(e *logout.Event) logout.Answer {
		if got := slices.Collect(e.Sessions); e.ByID() != "" || e.ByRank() != "host" || e.SessionID() != "" || e.Subject() != "" || !slices.Equal(got, []string{"ses_a", "ses_b"}) {
			t.Errorf("by %q %q, session %q, sessions %q", e.ByRank(), e.ByID(), e.SessionID(), got)
		}
		return logout.Nothing()
	})
	var host fakehost.Host
	logout.Serve(host.Put(t, "on_logout of a user by the host"))
}

func TestAnswers(t *testing.T) {
	var next logout.Answer
	handle(t, func(*logout.Event) logout.Answer { return next })
	n := 0
	for _, v := range fakehost.Answers(t, "on_logout") {
		next = logout.Send(v.Calls()...).Reason(string(v.Answer.Reason))
		want, result := v.Result(t)
		var host fakehost.Host
		if got := logout.Serve(host.Put(t, "on_logout of a session")); got != result || !bytes.Equal(guest.Buffer()[:len(want)], want) {
			t.Errorf("%s: result %#x, want %#x", v.Name, got, result)
		}
		n++
	}
	if n < 4 {
		t.Errorf("%d vectors", n)
	}
}

// The way to what is not sent allocates nothing, whatever it looks at.
func TestNoAllocation(t *testing.T) {
	var seen int
	handle(t, func(e *logout.Event) logout.Answer {
		for id := range e.Sessions {
			seen += len(id)
		}
		seen += len(e.ID()) + len(e.Realm()) + len(e.Issuer()) + len(e.Subject()) + len(e.What()) + len(e.Why()) + len(e.ByRank()) + len(e.ByID()) + len(e.SessionID()) + int(e.At())
		return logout.Nothing().Reason(e.UserID())
	})
	var host fakehost.Host
	// Put restores the frame that the answer before has overwritten.
	n := host.Put(t, "on_logout of a session")
	saved := slices.Clone(guest.Buffer()[:n])
	allocs := testing.AllocsPerRun(100, func() {
		copy(guest.Buffer(), saved)
		if logout.Serve(n)>>32 == 0 {
			t.Fatal("no reason")
		}
	})
	if allocs != 0 || seen == 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestMisuse(t *testing.T) {
	fakehost.Panics(t, func() { logout.Serve(0) })
	handle(t, func(*logout.Event) logout.Answer { return logout.Nothing() })
	fakehost.Panics(t, func() { logout.Handle(nil) })
}

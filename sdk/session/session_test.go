package session_test

import (
	"testing"

	"github.com/authhost/authhost/sdk/internal/fakehost"
	"github.com/authhost/authhost/sdk/internal/guest"
	"github.com/authhost/authhost/sdk/session"
)

func TestAttributes(t *testing.T) {
	host := fakehost.Host{Session: map[string]string{}}
	host.Put(t, "no field")
	is := func(got, want session.Result) {
		t.Helper()
		if got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	if v, ok := session.Get("a"); ok {
		t.Errorf("a = %q", v)
	}
	is(session.Swap("a", "", "x"), session.Other)
	is(session.Create("a", "1"), session.Done)
	is(session.Create("a", "2"), session.Other)
	is(session.Swap("a", "1", "2"), session.Done)
	if v, ok := session.Get("a"); v != "2" || !ok {
		t.Errorf("a = %q, %v", v, ok)
	}
	is(session.Delete("a", "1"), session.Other)
	is(session.Delete("a", "2"), session.Done)
	host.Session = nil
	is(session.Create("a", "1"), session.Ended)
	if _, ok := session.Get("a"); ok {
		t.Error("an attribute without a session")
	}
}

func TestNoAllocation(t *testing.T) {
	host := fakehost.Host{Session: map[string]string{"a": "1"}}
	n := host.Put(t, "no field")
	if allocs := testing.AllocsPerRun(100, func() {
		guest.Begin(guest.OnAuthorize, n)
		if v, ok := session.Get("a"); !ok || session.Swap("a", v, "2") != session.Done || session.Delete("a", "2") != session.Done || session.Create("a", "1") != session.Done {
			t.Fatal("a step failed")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

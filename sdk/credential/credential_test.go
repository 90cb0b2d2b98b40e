package credential_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/authhost/authhost/sdk/credential"
	"github.com/authhost/authhost/sdk/internal/fakehost"
	"github.com/authhost/authhost/sdk/internal/guest"
)

func handle(t *testing.T, h func(*credential.Request) credential.Choice) {
	t.Helper()
	credential.Handle(h)
	t.Cleanup(credential.Reset)
}

func TestCandidates(t *testing.T) {
	handle(t, func(r *credential.Request) credential.Choice {
		c := slices.Collect(r.Candidates)
		if len(c) != 2 || r.Method() != "POST" || r.Path() != "/api/gitops/sync" {
			t.Fatalf("%s %s with %d candidates", r.Method(), r.Path(), len(c))
		}
		failed, other := c[0], c[1]
		if failed.Source != credential.Header || failed.Kind != credential.JWT || failed.Verdict != credential.Expired ||
			failed.Name != "Authorization" || failed.UserID != "usr_mfrggzdfmztwq2lknnwg23tpobyxe43u" || !failed.Tried() {
			t.Errorf("%+v", failed)
		}
		if other.Source != credential.Cookie || other.Kind != credential.JWT || other.Verdict != credential.Untried ||
			other.Name != "kc_auth" || other.UserID != "" || other.Tried() {
			t.Errorf("%+v", other)
		}
		return credential.Try(other)
	})
	var host fakehost.Host
	got := credential.Serve(host.Put(t, "example on_credential"))
	for _, v := range fakehost.Answers(t, "on_credential") {
		if v.Name != "example next" {
			continue
		}
		if want, result := v.Result(t); got != result || !bytes.Equal(guest.Buffer()[:len(want)], want) {
			t.Errorf("result %#x, want %#x; bytes %x, want %x", got, result, guest.Buffer()[:len(want)], want)
		}
		return
	}
	t.Error("no such vector")
}

// Numbers that a later host may add come through as they are.
func TestEverySourceKindAndVerdict(t *testing.T) {
	handle(t, func(r *credential.Request) credential.Choice {
		i := 0
		for c := range r.Candidates {
			if int(c.Source) != 1+i%3 || int(c.Kind) != i%4 || int(c.Verdict) != i || c.Tried() != (i > 0) {
				t.Errorf("candidate %d: %+v", i, c)
			}
			i++
		}
		if i != 10 {
			t.Errorf("%d candidates", i)
		}
		return credential.Abstain()
	})
	var host fakehost.Host
	if got := credential.Serve(host.Put(t, "on_credential with every source, kind and verdict")); got != 0 {
		t.Errorf("abstaining returned %#x", got)
	}
}

func TestChoices(t *testing.T) {
	var next func(*credential.Request) credential.Choice
	handle(t, func(r *credential.Request) credential.Choice { return next(r) })
	var host fakehost.Host
	for _, v := range fakehost.Answers(t, "on_credential") {
		if v.Reordered || v.Answer.Candidate != nil && *v.Answer.Candidate > 1 {
			continue
		}
		next = func(r *credential.Request) credential.Choice {
			switch v.Code {
			case guest.CodeYes:
				c := slices.Collect(r.Candidates)[*v.Answer.Candidate]
				return credential.Try(c).Reason(string(v.Answer.Reason))
			case guest.CodeNo:
				return credential.Stop().Reason(string(v.Answer.Reason))
			case guest.CodeFetch:
				return credential.Fetch(v.Fetch())
			}
			return credential.Abstain()
		}
		want, result := v.Result(t)
		if got := credential.Serve(host.Put(t, "example on_credential")); got != result || !bytes.Equal(guest.Buffer()[:len(want)], want) {
			t.Errorf("%s: result %#x, want %#x; bytes %x, want %x", v.Name, got, result, guest.Buffer()[:len(want)], want)
		}
	}
}

// However many there are, the one that was chosen is answered.
func TestOneOfManyCandidates(t *testing.T) {
	const index = 1<<16 + 1
	handle(t, func(r *credential.Request) credential.Choice {
		return credential.Try(slices.Collect(r.Candidates)[index])
	})
	item := "090000000203000001006b0000" // a cookie k, untried
	var host fakehost.Host
	n := host.PutFrame(t, fakehost.Frame{
		Hex:    "0200010014000000" + "200001000000000000000000",
		Fields: []fakehost.Field{{ID: guest.FieldCandidates, Bytes: &item, Times: index + 1, Lazy: true}},
	})
	want := fakehost.Bytes(t, "040000000400000001000100")
	if got := credential.Serve(n); got != guest.CodeYes|12<<32 || !bytes.Equal(guest.Buffer()[:12], want) {
		t.Errorf("result %#x, bytes %x, want %x", got, guest.Buffer()[:12], want)
	}
}

func TestNoHandler(t *testing.T) {
	fakehost.Panics(t, func() { credential.Serve(0) })
}

func TestNoAllocation(t *testing.T) {
	handle(t, func(r *credential.Request) credential.Choice {
		for c := range r.Candidates {
			if c.Source == credential.Cookie && c.Name == "kc_auth" && !c.Tried() {
				return credential.Try(c).Reason("the header failed")
			}
		}
		return credential.Abstain()
	})
	var host fakehost.Host
	n := host.Put(t, "example on_credential")
	saved := slices.Clone(guest.Buffer()[:n])
	allocs := testing.AllocsPerRun(100, func() {
		copy(guest.Buffer(), saved)
		if uint32(credential.Serve(n)) != guest.CodeYes {
			t.Fatal("did not try the cookie")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

package fetch_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/sdk"
	"github.com/authhost/authhost/sdk/fetch"
	"github.com/authhost/authhost/sdk/internal/fakehost"
	"github.com/authhost/authhost/sdk/internal/guest"
)

func TestFetched(t *testing.T) {
	var host fakehost.Host
	for frame, want := range map[string]fetch.Response{
		"on_authorize after a fetch":              {Status: 200, Body: "yes", State: "round 1"},
		"on_authorize after a fetch of much":      {Status: 404, Body: strings.Repeat("0123456789abcdef", 4096)},
		"on_credential after a fetch that failed": {Error: fetch.Timeout, State: "round 3"},
	} {
		hook := guest.OnAuthorize
		if strings.HasPrefix(frame, "on_credential") {
			hook = guest.OnCredential
		}
		r := sdk.NewRequest(guest.Begin(hook, host.Put(t, frame)))
		if got, ok := r.Fetched(); !ok || got != want {
			t.Errorf("%s: %.200v, %v", frame, got, ok)
		}
	}
	r := sdk.NewRequest(guest.Begin(guest.OnAuthorize, host.Put(t, "example on_authorize")))
	if got, ok := r.Fetched(); ok {
		t.Errorf("nothing was fetched, and yet %+v", got)
	}
}

func TestRequests(t *testing.T) {
	encode := func(r fetch.Request) uint64 {
		var a guest.Answer
		r.Encode(&a)
		return a.Finish(guest.CodeFetch)
	}
	for _, v := range fakehost.Answers(t, "on_authorize") {
		var r fetch.Request
		switch v.Name {
		case "example fetch":
			r = fetch.Post("https://policy.example/v1/check", "text/plain", "ada").Keep("round 1")
		case "fetch without more":
			r = fetch.Get("https://policy.example/v1/check")
		default:
			continue
		}
		want, result := v.Result(t)
		if got := encode(r); got != result || !bytes.Equal(guest.Buffer()[:len(want)], want) {
			t.Errorf("%s: result %#x, bytes %x", v.Name, got, guest.Buffer()[:len(want)])
		}
	}
	for name, r := range map[string]fetch.Request{
		"long URL":   fetch.Get(strings.Repeat("u", 1<<16)),
		"long body":  {URL: "u", Body: strings.Repeat("b", 16<<10)},
		"long state": fetch.Get("u").Keep(strings.Repeat("s", 16<<10)),
	} {
		if text := fakehost.Panics(t, func() { encode(r) }); !strings.HasPrefix(text, "sdk: ") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// Neither what came of a request nor laying one out allocates.
func TestNoAllocation(t *testing.T) {
	var host fakehost.Host
	n := host.Put(t, "on_authorize after a fetch")
	saved := slices.Clone(guest.Buffer()[:n])
	again := fetch.Post("https://policy.example/v1/check", "text/plain", "ada")
	if allocs := testing.AllocsPerRun(100, func() {
		copy(guest.Buffer(), saved)
		r := sdk.NewRequest(guest.Begin(guest.OnAuthorize, n))
		got, ok := r.Fetched()
		if !ok || got.Status != 200 {
			t.Fatal("nothing was fetched")
		}
		var a guest.Answer
		next := again.Keep(got.State)
		next.Encode(&a)
		next.EncodeCall(&a)
		a.Finish(guest.CodeFetch)
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

package kv_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/sdk/internal/fakehost"
	"github.com/authhost/authhost/sdk/internal/guest"
	"github.com/authhost/authhost/sdk/kv"
)

func TestKeys(t *testing.T) {
	host := fakehost.Host{Keys: 2}
	guest.Begin(guest.OnAuthorize, host.Put(t, "no field"))
	get := func(key, want string, there bool) {
		t.Helper()
		if got, ok := kv.Get(key); got != want || ok != there {
			t.Errorf("Get(%q) = %q, %v", key, got, ok)
		}
	}
	is := func(got, want kv.Result) {
		t.Helper()
		if got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	get("a", "", false)
	is(kv.Create("a", "1", kv.Second), kv.Done)
	is(kv.Create("a", "2", kv.Second), kv.Other)
	is(kv.Swap("a", "2", "3", kv.Day), kv.Other)
	is(kv.Swap("a", "1", "", kv.Day), kv.Done)
	get("a", "", true)
	is(kv.Put("a", "x", kv.Hour), kv.Done)
	is(kv.DeleteIf("a", ""), kv.Other)
	if sum, r := kv.Add("n", -3, kv.Minute); sum != -3 || r != kv.Done {
		t.Errorf("Add = %d, %d", sum, r)
	}
	if sum, r := kv.Add("a", 1, kv.Minute); sum != 0 || r != kv.Other {
		t.Errorf("Add to text = %d, %d", sum, r)
	}
	if sum, r := kv.Add("more", 1, kv.Minute); sum != 0 || r != kv.Full {
		t.Errorf("Add = %d, %d", sum, r)
	}
	is(kv.Put("more", "1", kv.Minute), kv.Full)
	is(kv.DeleteIf("a", "x"), kv.Done)
	kv.Delete("n")
	kv.Delete("n")
	if len(host.KV) != 0 {
		t.Errorf("left: %q", host.KV)
	}
	if want := []int64{1000, 1000, 86_400_000, 86_400_000, 3_600_000, 0, 60_000, 60_000, 60_000, 0, 0, 0}; !slices.Equal(host.TTLs, want) {
		t.Errorf("deadlines %d", host.TTLs)
	}
}

// What the arena has room for is not allocated; the rest is whole all the same.
func TestLongValues(t *testing.T) {
	host := fakehost.Host{KV: map[string]string{}}
	guest.Begin(guest.OnAuthorize, host.Put(t, "no field"))
	long := strings.Repeat("v", 4096)
	host.KV["long"], host.KV["empty"] = long, ""
	var kept []string
	for range 12 {
		v, _ := kv.Get("long")
		kept = append(kept, v)
		if v, ok := kv.Get("empty"); v != "" || !ok {
			t.Errorf("empty: %q, %v", v, ok)
		}
	}
	for i, v := range kept {
		if v != long {
			t.Errorf("value %d is damaged", i)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		guest.Begin(guest.OnAuthorize, 8)
		kv.Get("long")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Entry is an attribute of the session, or a key, that is there.
type Entry struct {
	Name  Bytes `json:"name"`
	Value Bytes `json:"value,omitempty"`
}

// Call is one call of a host function that changes something, and what it is
// answered with.
type Call struct {
	Import  string `json:"import"`
	Name    Bytes  `json:"name"` // of the counter, the attribute or the key
	Old     Term   `json:"old,omitzero"`
	New     Term   `json:"new,omitzero"`
	Delta   int64  `json:"delta,omitempty"`
	TTL     int64  `json:"ttl,omitempty"`
	Returns int32  `json:"returns,omitempty"`
	Sum     int64  `json:"sum,omitempty"` // what kv_add writes, if it returns 1
}

// Term is an old or a new value: bytes, or where there are none the negative
// length that says so.
type Term struct {
	Bytes  Bytes
	Length int32 // -1: absent, -2: whatever it is; 0: it is Bytes
}

// MarshalJSON writes the length where there is one.
func (t Term) MarshalJSON() ([]byte, error) {
	if t.Length != 0 {
		return json.Marshal(t.Length)
	}
	return json.Marshal(t.Bytes)
}

// UnmarshalJSON reads either.
func (t *Term) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &t.Length) == nil {
		return nil
	}
	return json.Unmarshal(text, &t.Bytes)
}

// SessionGet returns what the import session_get reads, or that it is absent.
func (i *Imports) SessionGet(name string) (value []byte, ok bool) {
	return find(i.expect.Session, name)
}

// KVGet returns what the import kv_get reads, or that it is absent.
func (i *Imports) KVGet(key string) (value []byte, ok bool) { return find(i.expect.KV, key) }

func find(list []Entry, name string) ([]byte, bool) {
	n := slices.IndexFunc(list, func(e Entry) bool { return string(e.Name) == name })
	if n < 0 {
		return nil, false
	}
	return []byte(list[n].Value), true
}

// Metric takes what the import metric is given. A delta of 0 counts for nothing:
// it declares a name.
func (i *Imports) Metric(name string, delta int64) {
	if delta != 0 {
		i.call(Call{Import: "metric", Name: Bytes(name), Delta: delta})
	}
}

// SessionSet takes what the import session_set is given and returns its result.
func (i *Imports) SessionSet(name string, old, next Term) int32 {
	return i.call(Call{Import: "session_set", Name: Bytes(name), Old: old, New: next}).Returns
}

// KVSet takes what the import kv_set is given and returns its result.
func (i *Imports) KVSet(key string, old, next Term, ttl int64) int32 {
	return i.call(Call{Import: "kv_set", Name: Bytes(key), Old: old, New: next, TTL: ttl}).Returns
}

// KVAdd takes what the import kv_add is given and returns its result and, if
// that is 1, the sum.
func (i *Imports) KVAdd(key string, delta, ttl int64) (sum int64, result int32) {
	c := i.call(Call{Import: "kv_add", Name: Bytes(key), Delta: delta, TTL: ttl})
	return c.Sum, c.Returns
}

// call notes a call with the answer that the case has for the one in its place.
func (i *Imports) call(c Call) Call {
	if n := len(i.calls); n < len(i.expect.Calls) {
		c.Returns, c.Sum = i.expect.Calls[n].Returns, i.expect.Calls[n].Sum
	}
	i.calls = append(i.calls, c)
	return c
}

func compareCalls(got, want []Call) error {
	if slices.Equal(got, want) {
		return nil
	}
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	show := func(calls []Call) string {
		if n == len(calls) {
			return "no more"
		}
		return fmt.Sprintf("%.300q", fmt.Sprintf("%+v", calls[n]))
	}
	return fmt.Errorf("call %d: %s, want %s", n, show(got), show(want))
}

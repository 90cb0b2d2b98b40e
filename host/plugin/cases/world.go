package cases

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/authhost/authhost/host"
)

// World is what a plugin on trial keeps in the place of anything real: keys of
// its own, the attributes of one session, and what requests are answered with.
// Time stands still in it. It is the plugin's KV, Sessions and Fetcher; the zero
// World has nothing, no session and nobody to ask, and no bound on keys.
type World struct {
	Keys int // how many there may be; 0: any number

	mu         sync.Mutex
	kv         map[string][]byte
	session    string // the id of the only one that lives, or every
	attributes map[string]string
	replies    []reply // that were not given yet
}

// reply is what one request is answered with.
type reply struct {
	method string // any if empty
	url    string
	found  host.Fetched
}

const every = "*"

// Clear makes it a world without keys, in which every session lives and
// remembers nothing, and every request is refused.
func (w *World) Clear() { w.become(nil, every, nil, nil) }

// become makes it the world of a case.
func (w *World) become(kv map[string][]byte, session string, attributes map[string]string, replies []reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kv, w.session, w.attributes = maps.Clone(kv), session, maps.Clone(attributes)
	w.replies = slices.Clone(replies)
}

// Fetch gives the first reply for a request, each once. Without one the request
// is refused.
func (w *World) Fetch(_ context.Context, r host.Fetch) host.Fetched {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, reply := range w.replies {
		if reply.url == r.URL && (reply.method == "" || reply.method == r.Method) {
			w.replies = slices.Delete(w.replies, i, i+1)
			return reply.found
		}
	}
	return host.Fetched{Failure: host.FetchRefused, Cause: errors.New("nothing real is asked by cases and in a replay")}
}

// Get returns the value of a key, and whether it is there.
func (w *World) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	value, ok = w.kv[key]
	return value, ok, ctx.Err()
}

// Set makes next the value of a key, or deletes it where next is nil, if its
// value is old, nil for absent, or whatever it is with force.
func (w *World) Set(ctx context.Context, key string, old, next []byte, force bool, _ time.Duration) (done bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	value, there := w.kv[key]
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case !force && (there != (old != nil) || !bytes.Equal(value, old)):
		return false, nil
	case next == nil:
		delete(w.kv, key)
		return true, nil
	}
	return true, w.put(key, next)
}

// Add adds to a number; false if the value is none or the sum too large.
func (w *World) Add(ctx context.Context, key string, delta int64, _ time.Duration) (sum int64, ok bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil {
		return 0, false, ctx.Err()
	}
	n := int64(0)
	if value, there := w.kv[key]; there {
		if n, err = strconv.ParseInt(string(value), 10, 64); err != nil || strconv.FormatInt(n, 10) != string(value) {
			return 0, false, nil
		}
	}
	if sum = n + delta; (sum > n) != (delta > 0) && delta != 0 {
		return 0, false, nil
	}
	return sum, true, w.put(key, strconv.AppendInt(nil, sum, 10))
}

func (w *World) put(key string, value []byte) error {
	if _, there := w.kv[key]; !there && w.Keys > 0 && len(w.kv) >= w.Keys {
		return host.Errorf(host.Refused, "key_limit", "%d keys are all that are granted", w.Keys)
	}
	if w.kv == nil {
		w.kv = map[string][]byte{}
	}
	w.kv[key] = value
	return nil
}

// Attributes returns those of the session that lives.
func (w *World) Attributes(ctx context.Context, _, _, sessionID string) (map[string]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session != every && w.session != sessionID {
		return nil, &host.Error{Kind: host.NotFound, Public: "no such session"}
	}
	return maps.Clone(w.attributes), ctx.Err()
}

// ChangeAttributes changes those of the session that lives.
func (w *World) ChangeAttributes(ctx context.Context, realm, userID, sessionID string, change func(map[string]string) error) error {
	attributes, err := w.Attributes(ctx, realm, userID, sessionID)
	if err != nil {
		return err
	}
	if attributes == nil {
		attributes = map[string]string{}
	}
	if err := change(attributes); err != nil {
		return err
	}
	if err := host.CheckAttributes(attributes); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attributes = attributes
	return nil
}

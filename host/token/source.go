package token

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authhost/authhost/host"
)

// keySource keeps the key set of one issuer. What it has is read without a
// lock; loads are made one at a time, whoever asks for them.
type keySource struct {
	load  func(ctx context.Context) ([]byte, error) // never called twice at once
	parse func(data []byte) (keys []*key, skipped int, err error)

	maxAge  time.Duration
	every   time.Duration // between loads in the background
	gap     time.Duration // between loads that tokens cause
	timeout time.Duration // of one load
	now     func() time.Time
	log     *slog.Logger

	state atomic.Pointer[keyState]

	mu     sync.Mutex
	flight chan struct{} // closed when the load under way has ended; nil if none is
}

// keyState is what is known at one moment. It is immutable.
type keyState struct {
	keys   []*key
	loaded time.Time // when the load that brought keys began; zero: never
	tried  time.Time // when the last load began
	err    error     // why the last load failed
}

// usable says whether the set may be judged by. An empty one may not: it is an
// issuer's mistake, not its word on every token.
func (s *keySource) usable(st *keyState, now time.Time) bool {
	return len(st.keys) > 0 && now.Sub(st.loaded) < s.maxAge
}

// holds says whether k is in the set, and the set may be judged by.
func (s *keySource) holds(k *key, now time.Time) bool {
	st := s.state.Load()
	return s.usable(st, now) && slices.Contains(st.keys, k)
}

// find returns the key for a token's algorithm and kid; nil if there is surely
// none. Its error, a *host.Error, means that this cannot be known now.
func (s *keySource) find(ctx context.Context, alg, kid string) (*key, error) {
	st := s.state.Load()
	if s.usable(st, s.now()) {
		if k, known := find(st.keys, alg, kid); known {
			return k, nil
		}
	}
	st, err := s.refresh(ctx)
	if err != nil {
		return nil, err
	}
	k, _ := find(st.keys, alg, kid)
	return k, nil
}

// refresh returns a usable set that was loaded at most gap ago. It joins the
// load under way or begins one, unless the last began less than gap ago:
// tokens, whatever they name, cause no more than one load in that time.
func (s *keySource) refresh(ctx context.Context) (*keyState, error) {
	s.mu.Lock()
	st, flight := s.state.Load(), s.flight
	if flight == nil && (st.tried.IsZero() || s.now().Sub(st.tried) >= s.gap) {
		flight = s.begin()
	}
	s.mu.Unlock()
	if flight != nil {
		select {
		case <-flight:
			st = s.state.Load()
		case <-ctx.Done():
			return nil, unavailable(ctx.Err())
		}
	}
	if st.err != nil {
		return nil, unavailable(st.err)
	}
	if !s.usable(st, s.now()) {
		return nil, unavailable(errors.New("the set is empty, or older than jwks_max_age"))
	}
	return st, nil
}

func unavailable(cause error) error {
	return &host.Error{Kind: host.Unavailable, Public: "key set unavailable", Cause: cause}
}

// join returns the load under way, which it begins if there is none.
func (s *keySource) join() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	return s.begin()
}

// begin starts a load; s.mu is held. It has a time limit of its own and none
// of a caller's: others wait for it too.
func (s *keySource) begin() chan struct{} {
	done := make(chan struct{})
	s.flight = done
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
		defer cancel()
		s.reload(ctx)
		s.mu.Lock()
		s.flight = nil
		s.mu.Unlock()
		close(done)
	}()
	return done
}

// reload loads the set once. Its failure leaves the last good set in place.
func (s *keySource) reload(ctx context.Context) {
	old := s.state.Load()
	next := &keyState{keys: old.keys, loaded: old.loaded, tried: s.now()}
	data, err := s.load(ctx)
	var keys []*key
	var skipped int
	if err == nil {
		keys, skipped, err = s.parse(data)
	}
	if err != nil {
		next.err = err
	} else {
		for i, k := range keys {
			if j := slices.IndexFunc(old.keys, func(o *key) bool { return o.print == k.print }); j >= 0 {
				keys[i] = old.keys[j]
			}
		}
		next.keys, next.loaded = keys, next.tried
	}
	s.state.Store(next)
	s.report(old, next, skipped)
}

// report logs what changed, and a failure once.
func (s *keySource) report(old, next *keyState, skipped int) {
	switch {
	case next.err != nil && old.err == nil:
		said := []any{"error", next.err.Error()}
		if !next.loaded.IsZero() {
			said = append(said, "last_good", next.loaded)
		}
		s.log.Warn("key set not loaded", said...)
	case next.err != nil:
	case old.loaded.IsZero() || !slices.Equal(old.keys, next.keys):
		s.log.Info("key set loaded", "keys", len(next.keys), "skipped", skipped)
	case old.err != nil:
		s.log.Info("key set loads again")
	}
}

// firstRetry is how soon after a failure the background tries again; the wait
// doubles up to the interval.
const firstRetry = time.Second

// run loads the set again and again until ctx ends.
func (s *keySource) run(ctx context.Context) {
	wait, retry := s.every, min(firstRetry, s.every)
	if !s.usable(s.state.Load(), s.now()) {
		wait = 0
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		select {
		case <-ctx.Done():
			return
		case <-s.join():
		}
		if s.state.Load().err == nil {
			wait, retry = s.every, min(firstRetry, s.every)
		} else {
			wait, retry = retry, min(2*retry, s.gap, s.every)
		}
	}
}

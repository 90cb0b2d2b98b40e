package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/cachetest"
	"github.com/authhost/authhost/host/cache/memory"
	"github.com/authhost/authhost/host/session"
)

const (
	realm  = "main"
	issuer = "https://idp.example"
)

var (
	admin    = host.Actor{Rank: host.RealmAdmin, ID: "usr_admin"}
	operator = host.Actor{Rank: host.Operator, ID: "root"}
)

// start is not on a whole second or millisecond, so that rounding shows.
var start = time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)

// spy is a driver that counts calls, fails on demand and lets a test act
// between a read and the change that follows.
type spy struct {
	cache.Driver
	reads, changes atomic.Int32
	dues           atomic.Int32
	failReads      error
	failChanges    error
	failDue        error
	failPing       error
	beforeChange   func()
	afterChange    func(slot string)
	mu             sync.Mutex // of afterChange
	loseAck        error      // a change is made, and this is what is said of it
}

func (s *spy) Get(ctx context.Context, slot string, fields ...string) ([][]byte, error) {
	s.reads.Add(1)
	if s.failReads != nil {
		return nil, s.failReads
	}
	return s.Driver.Get(ctx, slot, fields...)
}

func (s *spy) All(ctx context.Context, slot string) (map[string][]byte, error) {
	s.reads.Add(1)
	if s.failReads != nil {
		return nil, s.failReads
	}
	return s.Driver.All(ctx, slot)
}

func (s *spy) Change(ctx context.Context, slot string, c cache.Change) (bool, error) {
	s.changes.Add(1)
	if act := s.beforeChange; act != nil {
		s.beforeChange = nil
		act()
	}
	if s.failChanges != nil {
		return false, s.failChanges
	}
	applied, err := s.Driver.Change(ctx, slot, c)
	if s.afterChange != nil {
		s.mu.Lock()
		s.afterChange(slot)
		s.mu.Unlock()
	}
	if s.loseAck != nil {
		return false, s.loseAck
	}
	return applied, err
}

func (s *spy) Ping(ctx context.Context) error {
	if s.failPing != nil {
		return s.failPing
	}
	return s.Driver.Ping(ctx)
}

func (s *spy) PutDue(ctx context.Context, list int, member string, at time.Time) error {
	s.dues.Add(1)
	if s.failDue != nil {
		return s.failDue
	}
	return s.Driver.PutDue(ctx, list, member, at)
}

// house is a store on a cache that the test watches.
type house struct {
	*session.Store
	t       testing.TB
	clock   *cachetest.Clock
	memory  *memory.Driver
	spy     *spy
	sweeper *session.Sweeper
}

func newHouse(t testing.TB, change ...func(*session.Options)) *house {
	t.Helper()
	clock := cachetest.NewClock(start)
	mem := memory.New(clock.Now)
	h := &house{t: t, clock: clock, memory: mem, spy: &spy{Driver: mem}}
	o := session.Options{Realm: realm, Cache: h.spy, Now: clock.Now}
	for _, f := range change {
		f(&o)
	}
	s, err := session.New(o)
	if err != nil {
		t.Fatal(err)
	}
	h.Store, h.sweeper = s, newSweeper(t, h.spy, clock, o.Teller)
	return h
}

// jwt is what a JWT issued a moment ago and good for the given time says.
func (h *house) jwt(subject string, life time.Duration) *host.Identity {
	return &host.Identity{
		Realm: realm, Issuer: issuer, Subject: subject, UserID: host.UserID(realm, issuer, subject),
		Roles: []string{"viewer", "a,b"}, Groups: []string{"g1"}, Email: "a@example.org", Claims: map[string]any{"x": 1},
		IssuedAt: h.clock.Now().Add(-time.Minute), Expires: h.clock.Now().Add(life), TokenKey: "jti-of-" + subject, Leeway: 30 * time.Second,
	}
}

func (h *house) create(id *host.Identity) string {
	h.t.Helper()
	token, _, err := h.Create(h.t.Context(), id, host.Terms{})
	if err != nil {
		h.t.Fatal(err)
	}
	return token
}

func (h *house) end(token string) error {
	_, err := h.End(h.t.Context(), token)
	return err
}

// want uses a token.
func (h *house) want(token string, verdict host.Verdict) *host.Identity {
	h.t.Helper()
	v, err := h.Resolve(h.t.Context(), token)
	if err != nil {
		h.t.Fatal(err)
	}
	if v.Touch != nil {
		v.Touch(h.t.Context())
	}
	if v.Verdict != verdict {
		h.t.Errorf("verdict %s, want %s", v.Verdict, verdict)
	}
	return v.Identity
}

func (h *house) wantRevoked(id *host.Identity, want bool) {
	h.t.Helper()
	got, err := h.Revoked(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	if got != want {
		h.t.Errorf("Revoked = %v, want %v", got, want)
	}
}

func wantKind(t testing.TB, err error, kind host.Kind) {
	t.Helper()
	if _, ok := errors.AsType[*host.Error](err); !ok {
		t.Fatalf("error %v (%T), want a *host.Error", err, err)
	}
	if got, public := host.Explain(err); got != kind || public == "" {
		t.Errorf("error %v is %s, want %s", err, got, kind)
	}
}

func TestCreateAndResolve(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	token, expires, err := h.Create(t.Context(), id, host.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := session.ParseToken(token)
	if err != nil || parsed.UserID != id.UserID {
		t.Fatalf("the token names %s, %v", parsed.UserID, err)
	}
	if !expires.Equal(id.Expires.Truncate(time.Millisecond)) {
		t.Errorf("ends at %s, want that of the JWT, %s", expires, id.Expires)
	}
	h.spy.reads.Store(0)
	got := h.want(token, host.Valid)
	if h.spy.reads.Load() != 1 {
		t.Errorf("%d round trips", h.spy.reads.Load())
	}
	if got.Realm != realm || got.Issuer != issuer || got.Subject != "alice" || got.UserID != id.UserID || got.Email != id.Email ||
		!slices.Equal(got.Roles, id.Roles) || !slices.Equal(got.Groups, id.Groups) || got.SessionID != parsed.SessionID ||
		!got.Expires.Equal(expires) || !got.IssuedAt.Equal(start.Truncate(time.Millisecond)) || got.Claims != nil || got.TokenKey != "" {
		t.Errorf("identity %+v", got)
	}
	other := h.create(id)
	if otherParsed, _ := session.ParseToken(other); other == token || otherParsed.SessionID == parsed.SessionID {
		t.Error("two logins got the same session")
	}
}

// Neither the token nor its secret is in the cache.
func TestSecretIsNotStored(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	token := h.create(id)
	all, err := h.memory.All(t.Context(), id.UserID)
	if err != nil || len(all) != 2 {
		t.Fatalf("slot of %d fields, %v, want header and session", len(all), err)
	}
	secret := token[4+32+24 : 4+32+24+40]
	for name, value := range all {
		if contains(name, secret) || contains(string(value), secret) || contains(string(value), token) {
			t.Errorf("field %s holds the secret", name)
		}
	}
}

func contains(s, sub string) bool {
	for i := 0; i+len(sub) <= len(s); i++ {
		if s[i:i+len(sub)] == sub {
			return true
		}
	}
	return false
}

func TestDeadlines(t *testing.T) {
	const idle, absolute = 8 * time.Hour, 24 * time.Hour
	for name, c := range map[string]struct {
		jwt     time.Duration
		outlive bool
		use     time.Duration // how often the session is used
		valid   time.Duration // the last moment at which it must count
		expired time.Duration
	}{
		"unused, to the idle deadline":       {jwt: absolute, valid: idle - time.Second, expired: idle},
		"used, to the absolute deadline":     {jwt: 100 * time.Hour, use: time.Hour, valid: absolute - time.Second, expired: absolute},
		"used, to the end of its JWT":        {jwt: 10 * time.Hour, use: time.Hour, valid: 10*time.Hour - time.Second, expired: 10 * time.Hour},
		"used, outliving its JWT":            {jwt: 5 * time.Minute, outlive: true, use: time.Hour, valid: absolute - time.Second, expired: absolute},
		"unused, outliving its JWT":          {jwt: 5 * time.Minute, outlive: true, valid: idle - time.Second, expired: idle},
		"a JWT shorter than the idle time":   {jwt: 5 * time.Minute, valid: 5*time.Minute - time.Second, expired: 5 * time.Minute},
		"used less often than the idle time": {jwt: 100 * time.Hour, use: idle + time.Second, valid: 0, expired: idle + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, func(o *session.Options) { o.Idle, o.Absolute, o.OutliveToken = idle, absolute, c.outlive })
			token := h.create(h.jwt("alice", c.jwt))
			for at := c.use; c.use > 0 && at < c.valid; at += c.use {
				h.clock.Pass(c.use)
				h.want(token, host.Valid)
			}
			h.clock.Pass(start.Add(c.valid).Sub(h.clock.Now()))
			if c.valid > 0 {
				v, err := h.Resolve(t.Context(), token) // a look is no use
				if err != nil || v.Verdict != host.Valid {
					t.Errorf("looked at: %s, %v", v.Verdict, err)
				}
			}
			h.clock.Pass(start.Add(c.expired).Sub(h.clock.Now()))
			if id := h.want(token, host.Expired); id == nil || id.Subject != "alice" {
				t.Errorf("an expired session names %v", id)
			}
		})
	}
}

// A login made by five minutes of a JWT ends with it, however it is used.
func TestAttack40_short_jwt_long_session(t *testing.T) {
	h := newHouse(t)
	token, expires, err := h.Create(t.Context(), h.jwt("alice", 5*time.Minute), host.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	if left := expires.Sub(h.clock.Now()); left > 5*time.Minute {
		t.Errorf("the session is good for %s", left)
	}
	for range 299 {
		h.clock.Pass(time.Second)
		h.want(token, host.Valid)
	}
	h.clock.Pass(time.Second)
	h.want(token, host.Expired)
	// Nor does a JWT that counts by its leeway alone buy any session.
	if _, _, err := h.Create(t.Context(), h.jwt("alice", -time.Second), host.Terms{}); err == nil {
		t.Error("an ended JWT made a session")
	} else {
		wantKind(t, err, host.Unauthenticated)
	}
}

func TestTouchIsThrottled(t *testing.T) {
	h := newHouse(t, func(o *session.Options) { o.Idle = 16 * time.Minute })
	token := h.create(h.jwt("alice", 10*time.Hour))
	h.spy.changes.Store(0)
	for range 10 * 60 { // ten minutes, a request a second
		h.clock.Pass(time.Second)
		h.want(token, host.Valid)
	}
	if n := h.spy.changes.Load(); n != 10 {
		t.Errorf("%d writes in ten minutes, want one a minute", n)
	}
}

// A write that only moves the idle deadline may fail.
func TestTouchMayFail(t *testing.T) {
	h := newHouse(t)
	token := h.create(h.jwt("alice", 24*time.Hour))
	h.spy.failChanges = errors.New("disk full")
	for range 7 {
		h.clock.Pass(time.Hour)
		h.want(token, host.Valid)
	}
	h.clock.Pass(time.Hour) // the deadline that is stored still holds
	h.want(token, host.Expired)
}

// A touch that races the session's end does not bring it back.
func TestTouchDoesNotRevive(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", 24*time.Hour)
	token := h.create(id)
	h.clock.Pass(time.Hour)
	h.spy.beforeChange = func() {
		if err := h.end(token); err != nil {
			t.Error(err)
		}
	}
	h.want(token, host.Valid) // it was, when it was read
	if h.spy.beforeChange != nil {
		t.Fatal("the request did not touch the session")
	}
	h.want(token, host.Unknown)
}

// Whatever was never issued is judged without a write, and leaves nothing.
func TestUnknownTokens(t *testing.T) {
	h := newHouse(t)
	alice := h.create(h.jwt("alice", time.Hour))
	foreign := newHouse(t)
	bob := foreign.create(foreign.jwt("bob", time.Hour))
	aliceElsewhere := foreign.create(foreign.jwt("alice", time.Hour))
	otherRealm := newHouse(t, func(o *session.Options) { o.Realm = "other" })
	id := h.jwt("alice", time.Hour)
	id.Realm, id.UserID = "other", host.UserID("other", issuer, "alice")
	abroad := otherRealm.create(id)
	for name, c := range map[string]struct {
		token   string
		verdict host.Verdict
		reads   int32
	}{
		"of a user without a slot":   {bob, host.Unknown, 1},
		"never issued here":          {aliceElsewhere, host.Unknown, 1},
		"of another realm":           {abroad, host.Unknown, 0},
		"one character changed":      {alice[:40] + "zz" + alice[42:], host.BadForm, 0},
		"upper case":                 {"ahs_" + upper(alice[4:]), host.BadForm, 0},
		"cut short":                  {alice[:len(alice)-1], host.BadForm, 0},
		"empty":                      {"", host.BadForm, 0},
		"a path":                     {"ahs_../../../../etc/passwd", host.BadForm, 0},
		"an access token's prefix":   {"aht_" + alice[4:], host.BadForm, 0},
		"a line break inside":        {alice[:50] + "\n" + alice[50:], host.BadForm, 0},
		"a line break for the tail":  {alice[:len(alice)-1] + "\n", host.BadForm, 0},
		"spare bits":                 {spareBits(alice), host.BadForm, 0},
		"public id, another secret":  {swapSecret(t, alice, bob), host.Unknown, 1},
		"somebody else's session id": {forge(t, bob, alice), host.Unknown, 1},
	} {
		t.Run(name, func(t *testing.T) {
			h.spy.reads.Store(0)
			h.spy.changes.Store(0)
			v, err := h.Resolve(t.Context(), c.token)
			if err != nil || v.Verdict != c.verdict || v.Identity != nil {
				t.Errorf("Resolve = %s of %v, %v, want %s of nobody", v.Verdict, v.Identity, err, c.verdict)
			}
			if n := h.spy.reads.Load(); n != c.reads {
				t.Errorf("%d reads, want %d", n, c.reads)
			}
			if n := h.spy.changes.Load(); n != 0 {
				t.Errorf("%d writes", n)
			}
			if err := h.end(c.token); err != nil {
				t.Errorf("End: %v", err)
			}
			if n := h.memory.Len(); n != 1 {
				t.Errorf("%d slots, want Alice's alone", n)
			}
		})
	}
	h.want(alice, host.Valid)
}

func TestRefusedOptions(t *testing.T) {
	d := memory.New(nil)
	for name, o := range map[string]session.Options{
		"no realm": {Cache: d}, "no cache": {Realm: realm}, "negative": {Realm: realm, Cache: d, Idle: -1},
		"a negative limit": {Realm: realm, Cache: d, MaxSessions: -1}, "no such answer": {Realm: realm, Cache: d, WhenFull: session.Refuse + 1},
	} {
		if _, err := session.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// An identity of another realm is a mistake of wiring, not a login.
func TestForeignIdentity(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	id.UserID = host.UserID("other", issuer, "alice")
	_, _, err := h.Create(t.Context(), id, host.Terms{})
	wantKind(t, err, host.Unavailable)
	_, err = h.Revoked(t.Context(), id)
	wantKind(t, err, host.Unavailable)
	wantKind(t, h.RevokeToken(t.Context(), id), host.Unavailable)
	wantKind(t, h.EndAll(t.Context(), id.UserID, admin, "test"), host.Unavailable)
	if h.memory.Len() != 0 {
		t.Error("a slot was made")
	}
}

func TestNoRandomness(t *testing.T) {
	h := newHouse(t, func(o *session.Options) { o.Rand = io.LimitReader(zeros{}, 10) })
	_, _, err := h.Create(t.Context(), h.jwt("alice", time.Hour), host.Terms{})
	wantKind(t, err, host.Unavailable)
	if h.memory.Len() != 0 {
		t.Error("a slot was made")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// The slot outlives what it judges by an hour, and old records go with later
// logins.
func TestCleanUp(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", 2*time.Hour)
	for i := range 40 {
		h.create(id)
		single := h.jwt("alice", 2*time.Hour)
		single.TokenKey = fmt.Sprint("single ", i)
		if err := h.RevokeToken(t.Context(), single); err != nil {
			t.Fatal(err)
		}
	}
	fields := func() int {
		all, err := h.memory.All(t.Context(), id.UserID)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	h.clock.Pass(2*time.Hour + 59*time.Minute)
	h.create(h.jwt("alice", 2*time.Hour))
	if n := fields(); n != 1+81 {
		t.Errorf("%d fields, want all 82: an hour has not passed since they ended", n)
	}
	h.clock.Pass(2 * time.Minute)
	for range 3 {
		h.create(h.jwt("alice", 2*time.Hour))
	}
	if n := fields(); n != 1+4 {
		t.Errorf("%d fields, want the header and the four live sessions", n)
	}
	h.clock.Pass(2*time.Hour + 59*time.Minute)
	if fields() == 0 {
		t.Error("the slot went before its hour")
	}
	h.clock.Pass(2 * time.Minute)
	if n := fields(); n != 0 {
		t.Errorf("%d fields outlive the slot", n)
	}
}

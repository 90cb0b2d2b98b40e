package session_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/memory"
	"github.com/authhost/authhost/host/session"
)

// remembering is a cache that answers every Get as it did the first time, for
// as long as nothing is changed by it.
type remembering struct {
	cache.Driver
	mu    sync.Mutex
	known map[string][][]byte
	gets  int // that were not remembered
	other int // reads by any other method
}

func (m *remembering) Get(ctx context.Context, slot string, fields ...string) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := slot + " " + strings.Join(fields, " ")
	if v, ok := m.known[key]; ok {
		return v, nil
	}
	v, err := m.Driver.Get(ctx, slot, fields...)
	if err == nil {
		m.gets++
		m.known[key] = v
	}
	return v, err
}

func (m *remembering) All(ctx context.Context, slot string) (map[string][]byte, error) {
	m.other++
	return m.Driver.All(ctx, slot)
}

func (m *remembering) Change(ctx context.Context, slot string, c cache.Change) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.known)
	return m.Driver.Change(ctx, slot, c)
}

// newNear is a store that remembers, beside one of another replica.
func newNear(t *testing.T, change ...func(*session.Options)) (near *house, memory *remembering, elsewhere *house) {
	elsewhere = newHouse(t)
	memory = &remembering{Driver: elsewhere.memory, known: map[string][][]byte{}}
	near = newHouse(t, append(change, func(o *session.Options) {
		o.Cache, o.Now = memory, elsewhere.clock.Now
		o.Through = elsewhere.spy
	})...)
	near.clock, near.spy, near.memory = elsewhere.clock, elsewhere.spy, elsewhere.memory
	return near, memory, elsewhere
}

// What is remembered may let a session pass that has ended elsewhere, never
// turn one away that counts.
func TestRememberedReads(t *testing.T) {
	near, memory, elsewhere := newNear(t)
	id := near.jwt("alice", 100*time.Hour)
	token := elsewhere.create(id)
	near.want(token, host.Valid)
	for range 10 {
		near.want(token, host.Valid)
	}
	if memory.gets != 1 {
		t.Errorf("%d reads", memory.gets)
	}
	if err := elsewhere.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
		t.Fatal(err)
	}
	near.want(token, host.Valid)
	if v, err := near.Direct().Resolve(t.Context(), token); err != nil || v.Verdict != host.Revoked {
		t.Errorf("read through: %s, %v", v.Verdict, err)
	}
	jwt := near.jwt("bob", time.Hour)
	near.wantRevoked(jwt, false)
	if err := elsewhere.RevokeToken(t.Context(), jwt); err != nil {
		t.Fatal(err)
	}
	near.wantRevoked(jwt, false)
	if revoked, err := near.Direct().Revoked(t.Context(), jwt); err != nil || !revoked {
		t.Errorf("read through: %v, %v", revoked, err)
	}

	// Absence, and a deadline that was moved elsewhere.
	carol := near.jwt("carol", 100*time.Hour)
	ghost := elsewhere.create(carol)
	record, err := elsewhere.memory.All(t.Context(), carol.UserID)
	if err != nil {
		t.Fatal(err)
	}
	if err := near.drop(carol.UserID, "h", "s:"+sessionID(t, ghost)); err != nil {
		t.Fatal(err)
	}
	near.want(ghost, host.Unknown)
	for field, value := range record {
		near.set(carol.UserID, field, value)
	}
	near.want(ghost, host.Valid)

	dave := elsewhere.create(near.jwt("dave", 100*time.Hour))
	near.clock.Pass(time.Minute)
	near.want(dave, host.Valid)
	near.clock.Pass(7 * time.Hour)
	elsewhere.want(dave, host.Valid)
	near.clock.Pass(2 * time.Hour) // by what is remembered it has expired
	near.want(dave, host.Valid)
	near.clock.Pass(8 * time.Hour)
	near.want(dave, host.Expired)

	near.spy.failReads = errDown
	_, err = near.Resolve(t.Context(), dave)
	wantKind(t, err, host.Unavailable)
}

// Nothing but Resolve and Revoked goes by what is remembered.
func TestWhatReadsThrough(t *testing.T) {
	near, memory, elsewhere := newNear(t)
	id, ctx := near.jwt("alice", 10*time.Hour), t.Context()
	token := elsewhere.create(id)
	near.want(token, host.Valid)
	near.wantRevoked(id, false)
	memory.gets = 0
	if err := elsewhere.end(token); err != nil {
		t.Fatal(err)
	}
	if err := elsewhere.RevokeToken(ctx, id); err != nil {
		t.Fatal(err)
	}
	sid := sessionID(t, token)
	near.wantUser(id.UserID, host.User{Active: true})
	if ids := near.ids(id.UserID); len(ids) != 0 {
		t.Errorf("listed: %v", ids)
	}
	if found, err := near.EndSession(ctx, id.UserID, sid, admin); err != nil || found {
		t.Errorf("ended: %v, %v", found, err)
	}
	if v, err := near.End(ctx, token); err != nil || v.Verdict != host.Unknown {
		t.Errorf("ended: %s, %v", v.Verdict, err)
	}
	_, _, err := near.Rotate(ctx, token)
	wantKind(t, err, host.Unauthenticated)
	_, err = near.Attributes(ctx, id.UserID, sid)
	wantKind(t, err, host.NotFound)
	_, _, err = near.Create(ctx, id, host.Terms{})
	wantKind(t, err, host.Unauthenticated)
	if err := near.Deactivate(ctx, id.UserID, operator); err != nil {
		t.Fatal(err)
	}
	if err := near.Activate(ctx, id.UserID, operator); err != nil {
		t.Fatal(err)
	}
	if err := near.EndAll(ctx, id.UserID, operator, "test"); err != nil {
		t.Fatal(err)
	}
	if memory.gets+memory.other != 0 {
		t.Errorf("%d reads by what is remembered", memory.gets+memory.other)
	}
}

// However many ids are made up, not one key is left behind.
func TestAttack33_made_up_ids_leave_nothing(t *testing.T) {
	near, _, elsewhere := newNear(t)
	alice := elsewhere.create(near.jwt("alice", time.Hour))
	maker, err := session.New(session.Options{Realm: realm, Cache: memory.New(nil), Now: near.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	before := near.fields(near.jwt("alice", 0).UserID)
	for i := range 500 {
		id := near.jwt(fmt.Sprint("somebody ", i), time.Hour)
		token, _, err := maker.Create(t.Context(), id, host.Terms{})
		if err != nil {
			t.Fatal(err)
		}
		near.want(token, host.Unknown)
		near.want(forge(t, token, alice), host.Unknown) // a session of Alice's that is none
		if v, err := near.End(t.Context(), token); err != nil || v.Verdict != host.Unknown {
			t.Fatal(v, err)
		}
		if _, _, err := near.Rotate(t.Context(), token); err == nil {
			t.Fatal("rotated")
		}
	}
	if n := near.memory.Len(); n != 1 || len(near.fields(near.jwt("alice", 0).UserID)) != len(before) {
		t.Errorf("%d slots", n)
	}
	near.clock.Pass(1000 * time.Hour)
	if due := near.dueUsers(time.Minute); len(due) > 1 {
		t.Errorf("%d users on the due-lists", len(due))
	}
}

package session_test

import (
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/file"
	"github.com/authhost/authhost/host/cache/memory"
	"github.com/authhost/authhost/host/session"
)

// onEach runs a benchmark on the drivers that need no server.
func onEach(b *testing.B, run func(b *testing.B, s *session.Store, id *host.Identity)) {
	drivers := map[string]func() (cache.Driver, error){
		"memory": func() (cache.Driver, error) { return memory.New(nil), nil },
		"file":   func() (cache.Driver, error) { return file.Open(file.Options{Dir: b.TempDir()}) },
	}
	for _, name := range []string{"memory", "file"} {
		b.Run(name, func(b *testing.B) {
			d, err := drivers[name]()
			if err != nil {
				b.Fatal(err)
			}
			s, err := session.New(session.Options{Realm: realm, Cache: d})
			if err != nil {
				b.Fatal(err)
			}
			id := &host.Identity{Realm: realm, Issuer: issuer, Subject: "alice", UserID: host.UserID(realm, issuer, "alice"),
				Roles: []string{"viewer", "editor"}, Groups: []string{"ops"}, Email: "alice@example.org",
				IssuedAt: time.Now(), Expires: time.Now().Add(time.Hour), TokenKey: "0123456789abcdef"}
			b.ReportAllocs()
			run(b, s, id)
		})
	}
}

func BenchmarkResolve(b *testing.B) {
	onEach(b, func(b *testing.B, s *session.Store, id *host.Identity) {
		token, _, err := s.Create(b.Context(), id, host.Terms{})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if v, err := s.Resolve(b.Context(), token); err != nil || v.Verdict != host.Valid {
				b.Fatal(v, err)
			}
		}
	})
}

func BenchmarkRevoked(b *testing.B) {
	onEach(b, func(b *testing.B, s *session.Store, id *host.Identity) {
		if _, _, err := s.Create(b.Context(), id, host.Terms{}); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if revoked, err := s.Revoked(b.Context(), id); err != nil || revoked {
				b.Fatal(revoked, err)
			}
		}
	})
}

func BenchmarkRevokedWithoutSlot(b *testing.B) {
	onEach(b, func(b *testing.B, s *session.Store, id *host.Identity) {
		for b.Loop() {
			if revoked, err := s.Revoked(b.Context(), id); err != nil || revoked {
				b.Fatal(revoked, err)
			}
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	onEach(b, func(b *testing.B, s *session.Store, id *host.Identity) {
		for b.Loop() {
			token, _, err := s.Create(b.Context(), id, host.Terms{})
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if _, err := s.End(b.Context(), token); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

func BenchmarkList(b *testing.B) {
	onEach(b, func(b *testing.B, s *session.Store, id *host.Identity) {
		for range 10 {
			if _, _, err := s.Create(b.Context(), id, host.Terms{}); err != nil {
				b.Fatal(err)
			}
		}
		for b.Loop() {
			if items, _, err := s.List(b.Context(), id.UserID, host.Page{}); err != nil || len(items) != 10 {
				b.Fatal(items, err)
			}
		}
	})
}

func BenchmarkEndAll(b *testing.B) {
	onEach(b, func(b *testing.B, s *session.Store, id *host.Identity) {
		for range 10 {
			if _, _, err := s.Create(b.Context(), id, host.Terms{}); err != nil {
				b.Fatal(err)
			}
		}
		for b.Loop() {
			if err := s.EndAll(b.Context(), id.UserID, admin, "test"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkParseToken(b *testing.B) {
	h := newHouse(b)
	token := h.create(h.jwt("alice", time.Hour))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := session.ParseToken(token); err != nil {
			b.Fatal(err)
		}
	}
}

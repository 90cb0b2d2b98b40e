package etcd_test

import (
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache/etcd"
	"github.com/authhost/authhost/host/session"
)

// BenchmarkSessionSize prints what a session takes in etcd's database, once it
// was compacted.
func BenchmarkSessionSize(b *testing.B) {
	const users, perUser = 2000, 5
	server := serve(b)
	store, err := session.New(session.Options{Realm: "main", Cache: connect(b, etcd.Options{Endpoints: []string{server.addr}})})
	if err != nil {
		b.Fatal(err)
	}
	before := databaseSize(b, server)
	for n := range users {
		subject := fmt.Sprintf("user-%d@example.org", n)
		id := &host.Identity{Realm: "main", Issuer: "https://idp.example", Subject: subject, UserID: host.UserID("main", "https://idp.example", subject),
			Roles: []string{"viewer", "editor"}, Email: subject, IssuedAt: time.Now(), Expires: time.Now().Add(8 * time.Hour), TokenKey: "0123456789abcdef"}
		for range perUser {
			if _, _, err := store.Create(b.Context(), id, host.Terms{}); err != nil {
				b.Fatal(err)
			}
		}
	}
	for b.Loop() { // what was stored above is the measurement
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(databaseSize(b, server)-before)/(users*perUser), "B/session")
}

func databaseSize(b *testing.B, s *server) int64 {
	b.Helper()
	c := s.client(clientv3.Config{})
	defer c.Close()
	now, err := c.Get(b.Context(), "ready")
	if err == nil {
		_, err = c.Compact(b.Context(), now.Header.Revision, clientv3.WithCompactPhysical())
	}
	if err == nil {
		_, err = c.Defragment(b.Context(), s.addr)
	}
	if err != nil {
		b.Fatal(err)
	}
	status, err := c.Status(b.Context(), s.addr)
	if err != nil {
		b.Fatal(err)
	}
	return status.DbSizeInUse
}

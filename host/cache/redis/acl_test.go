package redis_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/redis"
	"github.com/authhost/authhost/host/cache/redis/redistest"
)

const (
	aclUser, aclPassword = "authhost", "correct horse"

	// What docs/operating.md says of rules that not everybody needs.
	forReplicas = "with `wait_replicas`"
	forCluster  = "in a Cluster"
)

// code is a piece of the document that is to be taken literally, and what
// follows it.
var code = regexp.MustCompile("`([~&+][^`]*)`,? ((?:" + forReplicas + "|" + forCluster + ")?)")

// refused is what Redis says to a user who may not, and to a script of theirs.
var refused = regexp.MustCompile("NOPERM|No permissions|can't (run this command|access at least one of the keys)")

// documentedACL reads from docs/operating.md the rules of an ACL user: those
// that everybody needs, and those for some.
func documentedACL(t *testing.T, some ...string) (rules []string) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(strings.Join(strings.Fields(string(text)), " "), "An ACL user needs ")
	sentence, _, found := strings.Cut(after, ". ")
	pieces := code.FindAllStringSubmatch(sentence, -1)
	if !found || len(pieces) != 5 {
		t.Fatalf("docs/operating.md: %d pieces of an ACL in %q", len(pieces), sentence)
	}
	for _, p := range pieces {
		if p[2] == "" || slices.Contains(some, p[2]) {
			rules = append(rules, strings.Fields(p[1])...)
		}
	}
	return rules
}

// withACL makes a server know the user.
func withACL(t *testing.T, some ...string) []string {
	t.Helper()
	return append([]string{"--user", aclUser, "on", password(aclPassword), "-@all"}, documentedACL(t, some...)...)
}

// password writes a password as an ACL file does.
func password(p string) string { return fmt.Sprintf("#%x", sha256.Sum256([]byte(p))) }

// Each rule of the document is needed: without any one of them something that
// the driver does is refused.
func TestACLRules(t *testing.T) {
	t.Parallel()
	node := redistest.Serve(t, "--repl-diskless-sync-delay", "0")
	redistest.ReplicaOf(t, node)
	all := redistest.Cluster(t, 3)
	for some, on := range map[string]struct {
		servers redistest.Servers
		o       redis.Options
	}{
		forReplicas: {redistest.Servers{node}, redis.Options{Addrs: []string{node.Addr}, WaitReplicas: 1}},
		forCluster:  {all, redis.Options{Addrs: all.Addrs(), Cluster: true}},
	} {
		rules := documentedACL(t, some)
		for without := -1; without < len(rules); without++ {
			given := slices.Clone(rules)
			if without >= 0 {
				given = slices.Delete(given, without, without+1)
			}
			user := fmt.Sprint("without", without)
			for _, s := range on.servers {
				command := []any{"acl", "setuser", user, "on", password(aclPassword), "-@all"}
				for _, r := range given {
					command = append(command, r)
				}
				s.Do(command...)
			}
			on.o.Username, on.o.Password, on.o.CallTimeout = user, aclPassword, patient
			err := everything(t, connect(t, on.o), fmt.Sprint(some, without))
			if without < 0 && err != nil {
				t.Errorf("%s: %q: %v", some, rules, err)
			}
			if without >= 0 && (err == nil || !refused.MatchString(err.Error())) {
				t.Errorf("%s: without %s: %v, want a refusal", some, rules[without], err)
			}
		}
	}
}

// everything does once what the driver can, and returns the first error.
func everything(t *testing.T, d *redis.Driver, slot string) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	soon := time.Now().Add(time.Hour)
	steps := []func() error{
		func() error {
			ctx, stop := context.WithCancel(ctx)
			if err := d.Watch(ctx, stop, func(string) {}); ctx.Err() == nil {
				return err
			}
			return nil
		},
		func() error { return d.Ping(ctx) },
		func() error { _, err := d.Evicting(ctx); return err },
		func() error {
			_, err := d.Change(ctx, slot, cache.Change{Put: []cache.Field{{Name: "a"}}, Expires: soon})
			return err
		},
		func() error { _, err := d.Get(ctx, slot, "a"); return err },
		func() error { _, err := d.All(ctx, slot); return err },
		func() error { _, err := d.Add(ctx, slot, "n", 1, soon); return err },
		func() error { _, err := d.Change(ctx, slot, cache.Change{Delete: []string{"a", "n"}}); return err },
		func() error { _, err := d.Change(ctx, slot, cache.Change{Delete: []string{"a"}}); return err },
		func() error { return d.PutDue(ctx, 0, slot, time.UnixMilli(1)) },
		func() error { _, err := d.LeaseDue(ctx, 0, time.UnixMilli(2), soon, 1); return err },
		func() error { return d.DropDue(ctx, 0, slot, soon) },
		func() error { _, _, err := d.List(ctx, "", 1); return err },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

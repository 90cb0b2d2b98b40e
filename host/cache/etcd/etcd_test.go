package etcd_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/etcd"
	"github.com/authhost/authhost/host/cache/near"
)

func TestOptions(t *testing.T) {
	for name, o := range map[string]etcd.Options{
		"no host":           {Endpoints: []string{""}},
		"another scheme":    {Endpoints: []string{"unix:///run/etcd"}},
		"mixed schemes":     {Endpoints: []string{"https://a:1", "b:1"}},
		"mixed the other":   {Endpoints: []string{"a:1", "https://b:1"}},
		"TLS given up":      {Endpoints: []string{"http://a:1"}, TLSConfig: &tls.Config{}},
		"no password":       {Username: "u"},
		"no user":           {Password: "p"},
		"negative":          {Timeout: -1},
		"negative for dial": {DialTimeout: -1},
	} {
		if d, err := etcd.New(o); err == nil {
			d.Close()
			t.Errorf("%s: no error", name)
		}
	}
	for _, endpoints := range [][]string{nil, {"a:1", "http://b:1"}, {"https://a:1", "https://b:1"}} {
		connect(t, etcd.Options{Endpoints: endpoints})
	}
}

func put(t testing.TB, d cache.Driver, slot, value string) {
	t.Helper()
	c := cache.Change{Put: []cache.Field{{Name: "a", Value: []byte(value)}}, Expires: time.Now().Add(time.Hour)}
	if applied, err := d.Change(t.Context(), slot, c); err != nil || !applied {
		t.Fatalf("Change = %v, %v", applied, err)
	}
}

func mustHold(t testing.TB, d cache.Driver, slot, value string) {
	t.Helper()
	v, err := d.Get(t.Context(), slot, "a")
	if err != nil || string(v[0]) != value {
		t.Errorf("Get = %q, %v, want %q", v, err, value)
	}
}

// calls is each of the driver's calls.
var calls = map[string]func(context.Context, cache.Driver) error{
	"Get": func(ctx context.Context, d cache.Driver) error { _, err := d.Get(ctx, "slot", "a"); return err },
	"All": func(ctx context.Context, d cache.Driver) error { _, err := d.All(ctx, "slot"); return err },
	"Change": func(ctx context.Context, d cache.Driver) error {
		applied, err := d.Change(ctx, "other", cache.Change{Put: []cache.Field{{Name: "b"}}, Expires: time.Now().Add(time.Hour)})
		if applied && err != nil {
			panic("applied, and an error")
		}
		return err
	},
	"Add": func(ctx context.Context, d cache.Driver) error {
		_, err := d.Add(ctx, "other", "n", 1, time.Now().Add(time.Hour))
		return err
	},
	"PutDue":   func(ctx context.Context, d cache.Driver) error { return d.PutDue(ctx, 1, "m", time.Now()) },
	"LeaseDue": func(ctx context.Context, d cache.Driver) error { _, err := leaseDue(ctx, d, 1); return err },
	"DropDue":  func(ctx context.Context, d cache.Driver) error { return d.DropDue(ctx, 1, "m", time.Now()) },
	"List":     func(ctx context.Context, d cache.Driver) error { _, _, err := d.List(ctx, "", 10); return err },
	"Ping":     func(ctx context.Context, d cache.Driver) error { return d.Ping(ctx) },
	"Watch":    func(ctx context.Context, d cache.Driver) error { return d.Watch(ctx, func() {}, func(string) {}) },
}

func leaseDue(ctx context.Context, d cache.Driver, list int) ([]string, error) {
	return d.LeaseDue(ctx, list, time.Now(), time.Now().Add(time.Minute), 10)
}

// mustFail proves that every call ends with an error, by itself.
func mustFail(t *testing.T, d cache.Driver) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wg sync.WaitGroup
	for name, call := range calls {
		wg.Go(func() {
			if err := call(ctx, d); err == nil {
				t.Errorf("%s without error", name)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		t.Error("the calls did not give up by themselves")
	}
}

// A server that hangs or is killed makes errors, and nothing else; once it is
// back, so is all that was acknowledged, without a new driver.
func TestServerAwayAndBack(t *testing.T) {
	s := serve(t)
	d := connect(t, etcd.Options{Endpoints: []string{s.addr}, Timeout: 3 * time.Second})
	// One whose calls have no end of their own: being refused is enough.
	patient := connect(t, etcd.Options{Endpoints: []string{s.addr}, Timeout: time.Hour})
	put(t, d, "slot", "1")

	s.signal(syscall.SIGSTOP)
	mustFail(t, d)
	s.signal(syscall.SIGCONT)
	until(t, "it answers after a halt", func(ctx context.Context) bool { return d.Ping(ctx) == nil })
	mustHold(t, d, "slot", "1")

	for round := range 3 {
		put(t, d, "slot", fmt.Sprint(round))
		if err := d.PutDue(t.Context(), 2, "m", time.Now()); err != nil {
			t.Fatal(err)
		}
		s.kill()
		mustFail(t, d)
		mustFail(t, patient)
		s.start()
		until(t, "it answers after a kill", func(ctx context.Context) bool { return d.Ping(ctx) == nil && patient.Ping(ctx) == nil })
		mustHold(t, d, "slot", fmt.Sprint(round))
	}
	if members, err := leaseDue(t.Context(), d, 2); err != nil || len(members) != 1 {
		t.Errorf("after the kills %q are due, %v", members, err)
	}
}

// unwell is a server whose answers to reads or to transactions are lost.
type unwell struct {
	pb.UnimplementedKVServer
	pb.UnimplementedLeaseServer
	reads, writes atomic.Int32
	readsToo      bool
}

func (u *unwell) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	u.reads.Add(1)
	if u.readsToo {
		return nil, status.Error(codes.Unavailable, "etcdserver: leader changed")
	}
	return &pb.RangeResponse{}, nil
}

func (u *unwell) Txn(context.Context, *pb.TxnRequest) (*pb.TxnResponse, error) {
	u.writes.Add(1)
	return nil, status.Error(codes.Unavailable, "etcdserver: request timed out")
}

func (u *unwell) LeaseGrant(context.Context, *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	return &pb.LeaseGrantResponse{ID: 1}, nil
}

// A change whose answer was lost may have been made: it is an error, and is
// not sent again. A read is.
func TestWritesAreSentOnce(t *testing.T) {
	for name, call := range calls {
		if name == "Watch" {
			continue
		}
		u := &unwell{readsToo: name == "Get" || name == "All" || name == "List" || name == "Ping" || name == "LeaseDue"}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		g := grpc.NewServer()
		pb.RegisterKVServer(g, u)
		pb.RegisterLeaseServer(g, u)
		go func() { _ = g.Serve(l) }()
		t.Cleanup(g.Stop)
		d := connect(t, etcd.Options{Endpoints: []string{l.Addr().String()}})
		if err := call(t.Context(), d); err == nil {
			t.Errorf("%s without error", name)
		}
		if reads, writes := u.reads.Load(), u.writes.Load(); u.readsToo && (reads != 2 || writes != 0) || !u.readsToo && writes != 1 {
			t.Errorf("%s was sent as %d reads and %d writes", name, reads, writes)
		}
	}
}

// What is not a record of this driver is an error, never an absent slot.
func TestDamage(t *testing.T) {
	s := serve(t)
	d, c := connect(t, etcd.Options{Endpoints: []string{s.addr}}), s.client(clientv3.Config{})
	defer c.Close()
	for _, key := range []string{"slot/slot", "slot/other", "due/01/member/m", "due/01/moment/", "due/01/moment/short"} {
		if _, err := c.Put(t.Context(), "authhost/"+key, "damage"); err != nil {
			t.Fatal(err)
		}
	}
	for name, call := range calls {
		if name == "Ping" || name == "Watch" || name == "List" {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := call(ctx, d); err == nil || ctx.Err() != nil {
			t.Errorf("%s of what is damaged: %v", name, err)
		}
		cancel()
	}
	if slots, _, err := d.List(t.Context(), "", 10); err != nil || len(slots) != 2 {
		t.Errorf("List = %q, %v: who wants to find the damage must be told of the slots", slots, err)
	}
}

// revision is that of the whole store: every write makes it grow.
func revision(t *testing.T, c *clientv3.Client) int64 {
	t.Helper()
	got, err := c.Get(t.Context(), "any")
	if err != nil {
		t.Fatal(err)
	}
	return got.Header.Revision
}

// What changes nothing writes nothing, and what is past already leaves no key.
func TestNothingIsWrittenInVain(t *testing.T) {
	s := serve(t)
	d, c := connect(t, etcd.Options{Endpoints: []string{s.addr}}), s.client(clientv3.Config{})
	defer c.Close()
	put(t, d, "slot", "1")
	if err := d.PutDue(t.Context(), 1, "m", time.UnixMilli(5)); err != nil {
		t.Fatal(err)
	}
	before := revision(t, c)
	for name, change := range map[string]cache.Change{
		"refused":           {If: []cache.Field{{Name: "a"}}, Delete: []string{"a"}, Expires: time.Now().Add(9 * time.Hour)},
		"only asked":        {If: []cache.Field{{Name: "a", Value: []byte("1")}}},
		"nothing there":     {Delete: []string{"x"}},
		"a nearer deadline": {Delete: []string{"x"}, Expires: time.Now().Add(time.Minute)},
	} {
		if applied, err := d.Change(t.Context(), "slot", change); err != nil || applied != (name != "refused") {
			t.Errorf("%s: Change = %v, %v", name, applied, err)
		}
	}
	for _, slot := range []string{"slot", "absent"} {
		for name, call := range calls {
			if name == "Get" || name == "All" || name == "List" || name == "Ping" {
				if err := call(t.Context(), d); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if _, err := d.Change(t.Context(), slot, cache.Change{Delete: []string{"x"}}); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Change(t.Context(), "absent", cache.Change{Delete: []string{"x"}, Expires: time.Now().Add(time.Hour)}); err != nil {
		t.Error(err)
	}
	if err := d.PutDue(t.Context(), 1, "m", time.UnixMilli(6)); err != nil { // later than it stands
		t.Error(err)
	}
	if err := d.DropDue(t.Context(), 1, "m", time.UnixMilli(5)); err != nil { // nobody has it
		t.Error(err)
	}
	if now := revision(t, c); now != before {
		t.Errorf("%d writes were made", now-before)
	}
	past := cache.Change{Put: []cache.Field{{Name: "a"}}, Expires: time.Now().Add(-time.Second)}
	if applied, err := d.Change(t.Context(), "past", past); err != nil || !applied {
		t.Errorf("Change = %v, %v", applied, err)
	}
	if got, err := c.Get(t.Context(), "authhost/", clientv3.WithPrefix(), clientv3.WithKeysOnly()); err != nil || len(got.Kvs) != 3 {
		t.Errorf("%d keys are kept, want a slot and a member's two: %v, %v", len(got.Kvs), got.Kvs, err)
	}
}

// A user name and a password are presented, wrong ones are told at each call,
// and a server that was restarted, which has forgotten who logged in, is asked
// anew; so is one that was not there at first.
func TestUser(t *testing.T) {
	s := serve(t)
	c := s.client(clientv3.Config{})
	defer c.Close()
	for _, err := range []error{
		do(c.UserAdd(t.Context(), "root", "rootpass")), do(c.RoleAdd(t.Context(), "root")), do(c.UserGrantRole(t.Context(), "root", "root")),
		do(c.UserAdd(t.Context(), "authhost", "secret")), do(c.RoleAdd(t.Context(), "authhost")),
		do(c.RoleGrantPermission(t.Context(), "authhost", "authhost/", clientv3.GetPrefixRangeEnd("authhost/"), clientv3.PermissionType(clientv3.PermReadWrite))),
		do(c.UserGrantRole(t.Context(), "authhost", "authhost")), do(c.AuthEnable(t.Context())),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	o := etcd.Options{Endpoints: []string{s.addr}, Username: "authhost", Password: "secret", Timeout: 10 * time.Second}
	d, root := connect(t, o), s.client(clientv3.Config{Username: "root", Password: "rootpass"})
	defer root.Close()
	for name, call := range calls {
		if name == "Watch" {
			continue
		}
		if err := call(t.Context(), d); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// The server forgets who logged in: no caller is to notice.
		if err := do(root.UserChangePassword(t.Context(), "authhost", "secret")); err != nil {
			t.Fatal(err)
		}
		if err := call(t.Context(), d); err != nil {
			t.Errorf("%s once the login was forgotten: %v", name, err)
		}
	}
	mustFail(t, connect(t, etcd.Options{Endpoints: o.Endpoints}))
	o.Password = "wrong"
	mustFail(t, connect(t, o))
	o.Password, o.Prefix = "secret", "foreign/"
	mustFail(t, connect(t, o))
	o.Prefix = ""

	s.kill()
	late := connect(t, o)
	mustFail(t, late)
	s.start()
	for name, x := range map[string]*etcd.Driver{"that knew it before": d, "that did not": late} {
		until(t, "a driver "+name+" is logged in", func(ctx context.Context) bool { return x.Ping(ctx) == nil })
		put(t, x, "slot", name)
		ctx, cancel := context.WithCancel(t.Context())
		if err := x.Watch(ctx, cancel, func(string) {}); ctx.Err() == nil {
			t.Errorf("Watch was never ready: %v", err)
		}
		cancel()
	}
}

func do[T any](_ T, err error) error { return err }

// certificates makes an authority and a certificate for the loopback address.
func certificates(t *testing.T) (pool *x509.CertPool, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return pool, certFile, keyFile
}

func TestTLS(t *testing.T) {
	pool, certFile, keyFile := certificates(t)
	peer := "http://" + freeAddr(t)
	s := prepare(t, "one", "https", peer, "one="+peer, "--cert-file", certFile, "--key-file", keyFile)
	s.start()
	s.answers(clientv3.Config{TLS: &tls.Config{RootCAs: pool}})
	for _, endpoint := range []string{s.addr, "https://" + s.addr} {
		d := connect(t, etcd.Options{Endpoints: []string{endpoint}, TLSConfig: &tls.Config{RootCAs: pool}})
		put(t, d, "slot", endpoint)
		mustHold(t, d, "slot", endpoint)
	}
	for name, o := range map[string]etcd.Options{
		"an authority that is not known": {Endpoints: []string{"https://" + s.addr}},
		"another name":                   {Endpoints: []string{strings.Replace(s.addr, "127.0.0.1", "localhost", 1)}, TLSConfig: &tls.Config{RootCAs: pool}},
		"no TLS":                         {Endpoints: []string{s.addr}},
	} {
		d := connect(t, o)
		if v, err := d.Get(t.Context(), "slot", "a"); err == nil {
			t.Errorf("%s: Get = %q without error", name, v)
		}
	}
}

// A watch that hears nothing more ends, though nothing closed it.
func TestSilentWatchEnds(t *testing.T) {
	s := serve(t)
	g := newGate(t, s.addr)
	d := connect(t, etcd.Options{Endpoints: []string{g.addr}})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := d.Watch(ctx, func() { g.setSilent(true) }, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "nothing is heard") {
		t.Errorf("Watch = %v", err)
	}
	g.setSilent(false)
	g.cut()
	until(t, "another watch is ready", func(ctx context.Context) bool {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		ready := false
		_ = d.Watch(ctx, func() { ready = true; cancel() }, func(string) {})
		return ready
	})
}

// A quiet watch goes on.
func TestQuietWatchGoesOn(t *testing.T) {
	s := serve(t)
	d := connect(t, etcd.Options{Endpoints: []string{s.addr}})
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(7*time.Second, cancel).Stop() // some beats
	if err := d.Watch(ctx, func() {}, func(string) {}); ctx.Err() == nil {
		t.Errorf("Watch ended by itself: %v", err)
	}
}

// Two replicas remember what they read, and forget it when the other, or
// nobody that they know, changes it, also after their watch was cut off.
func TestBehindNearCaches(t *testing.T) {
	s := serve(t)
	g := newGate(t, s.addr)
	var replicas []*near.Cache
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range 2 {
		c, err := near.New(near.Options{Driver: connect(t, etcd.Options{Endpoints: []string{g.addr}}), MaxStaleness: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { _ = c.Run(ctx) })
		replicas = append(replicas, c)
	}
	other := connect(t, etcd.Options{Endpoints: []string{s.addr}})
	for i, d := range []cache.Driver{replicas[0], replicas[1], other, replicas[0].ReadThrough()} {
		if i == 2 {
			g.cut()
			until(t, "the replicas are connected again", func(ctx context.Context) bool {
				return replicas[0].Ping(ctx) == nil && replicas[1].Ping(ctx) == nil
			})
		}
		value := fmt.Sprint("value ", i)
		put(t, d, "slot", value)
		for n, c := range replicas {
			until(t, fmt.Sprintf("replica %d sees %s", n, value), func(ctx context.Context) bool {
				v, err := c.Get(ctx, "slot", "a")
				return err == nil && string(v[0]) == value
			})
		}
	}
}

package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache/cachetest"
	"github.com/authhost/authhost/host/cache/redis"
)

func conformance(t *testing.T, all servers, o redis.Options) {
	part := 0
	cachetest.Run(t, func(t *testing.T) cachetest.Store {
		part++
		o.Prefix = fmt.Sprint("part", part, ":") // an empty store for each
		o.CallTimeout = patient
		return cachetest.Store{A: connect(t, o), B: connect(t, o), Now: time.Now, Pass: time.Sleep, Interrupt: all.cutWatches}
	})
}

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		s := serve(t)
		conformance(t, servers{s}, redis.Options{Addrs: []string{s.addr}, DB: 3})
	})
	t.Run("replicas", func(t *testing.T) {
		t.Parallel()
		s := serve(t, "--repl-diskless-sync-delay", "0")
		replicaOf(t, s)
		conformance(t, servers{s}, redis.Options{Addrs: []string{s.addr}, WaitReplicas: 1})
	})
	t.Run("sentinel of three", func(t *testing.T) {
		t.Parallel()
		s := serve(t, "--repl-diskless-sync-delay", "0")
		replicaOf(t, s)
		conformance(t, servers{s}, redis.Options{Addrs: sentinels(t, s, 3).addrs(), MasterName: "main", WaitReplicas: 1})
	})
	t.Run("cluster of three", func(t *testing.T) {
		t.Parallel()
		all := cluster(t, 3)
		conformance(t, all, redis.Options{Addrs: all.addrs()[:1], Cluster: true})
	})
	t.Run("tls and acl", func(t *testing.T) {
		t.Parallel()
		s, config := serveTLS(t)
		conformance(t, servers{s}, redis.Options{Addrs: []string{s.addr}, TLS: true, TLSConfig: config, Username: "authhost", Password: "correct horse"})
	})
}

// serveTLS starts a server that speaks TLS alone. Its user "authhost" may do
// what the driver needs and no more; the test has another.
func serveTLS(t *testing.T) (*server, *tls.Config) {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(certFile, certPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	config := &tls.Config{RootCAs: roots}

	port := freePort(t)
	s := newServer(t, port)
	s.with.TLSConfig, s.with.Username, s.with.Password = config, "tester", "battery staple"
	s.args = []string{"--port", "0", "--tls-port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--tls-auth-clients", "no",
		"--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", certFile,
		"--user", "default", "off", "--user", "tester", "on", password("battery staple"), "+@all",
		"--user", "authhost", "on", password("correct horse"), "~part*", "&part*", "-@all", "+@connection", "+@hash", "+@sortedset",
		"+@scripting", "+pexpireat", "+pexpiretime", "+publish", "+subscribe", "+scan", "+info"}
	t.Cleanup(s.kill)
	s.start()
	s.wait()
	return s, config
}

// password writes a password as an ACL file does.
func password(p string) string { return fmt.Sprintf("#%x", sha256.Sum256([]byte(p))) }

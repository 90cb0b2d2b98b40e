package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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
	"github.com/authhost/authhost/host/cache/redis/redistest"
)

func conformance(t *testing.T, all redistest.Servers, o redis.Options) {
	part := 0
	o.Username, o.Password = aclUser, aclPassword
	cachetest.Run(t, func(t *testing.T) cachetest.Store {
		part++
		o.Prefix = fmt.Sprint("authhost:part", part, ":") // an empty store for each
		o.CallTimeout = patient
		return cachetest.Store{A: connect(t, o), B: connect(t, o), Now: time.Now, Pass: time.Sleep, Interrupt: all.CutWatches}
	})
}

// Every topology is used by a user who may do what the document says is needed,
// and no more.
func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		s := redistest.Serve(t, withACL(t)...)
		conformance(t, redistest.Servers{s}, redis.Options{Addrs: []string{s.Addr}, DB: 3})
	})
	t.Run("replicas", func(t *testing.T) {
		t.Parallel()
		s := redistest.Serve(t, append(withACL(t, forReplicas), "--repl-diskless-sync-delay", "0")...)
		redistest.ReplicaOf(t, s)
		conformance(t, redistest.Servers{s}, redis.Options{Addrs: []string{s.Addr}, WaitReplicas: 1})
	})
	t.Run("sentinel of three", func(t *testing.T) {
		t.Parallel()
		s := redistest.Serve(t, append(withACL(t, forReplicas), "--repl-diskless-sync-delay", "0")...)
		redistest.ReplicaOf(t, s)
		conformance(t, redistest.Servers{s}, redis.Options{Addrs: redistest.Sentinels(t, s, 3).Addrs(), MasterName: "main", WaitReplicas: 1})
	})
	t.Run("cluster of three", func(t *testing.T) {
		t.Parallel()
		all := redistest.Cluster(t, 3, withACL(t, forCluster)...)
		conformance(t, all, redis.Options{Addrs: all.Addrs()[:1], Cluster: true})
	})
	t.Run("tls", func(t *testing.T) {
		t.Parallel()
		s, config := serveTLS(t)
		conformance(t, redistest.Servers{s}, redis.Options{Addrs: []string{s.Addr}, TLS: true, TLSConfig: config})
	})
}

// serveTLS starts a server that speaks TLS alone, and on which nobody is let in
// without a password.
func serveTLS(t *testing.T) (*redistest.Server, *tls.Config) {
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

	s, port := redistest.New(t)
	s.With.TLSConfig, s.With.Username, s.With.Password = config, "tester", "battery staple"
	s.Args = append([]string{"--port", "0", "--tls-port", port, "--bind", "127.0.0.1", "--dir", s.Dir, "--save", "", "--tls-auth-clients", "no",
		"--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", certFile,
		"--user", "default", "off", "--user", "tester", "on", password("battery staple"), "+@all"}, withACL(t)...)
	s.Start()
	s.Wait()
	return s, config
}

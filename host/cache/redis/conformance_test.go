package redis_test

import (
	"context"
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
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/authhost/authhost/host/cache/cachetest"
	"github.com/authhost/authhost/host/cache/redis"
)

func conformance(t *testing.T, s *server, o redis.Options) {
	part := 0
	cachetest.Run(t, func(t *testing.T) cachetest.Store {
		part++
		o.Prefix = fmt.Sprint("part", part, ":") // an empty store for each
		return cachetest.Store{A: connect(t, o), B: connect(t, o), Now: time.Now, Pass: time.Sleep}
	})
}

func TestConformance(t *testing.T) {
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		s := serve(t)
		conformance(t, s, redis.Options{Addrs: []string{s.addr}, DB: 3})
	})
	t.Run("replicas", func(t *testing.T) {
		t.Parallel()
		s := serve(t, "--repl-diskless-sync-delay", "0")
		host, port, _ := net.SplitHostPort(s.addr)
		replica := serve(t, "--replicaof", host+" "+port)
		until(t, "the replica is connected", func(context.Context) bool { return strings.Contains(replica.do("info"), "master_link_status:up") })
		conformance(t, s, redis.Options{Addrs: []string{s.addr}, WaitReplicas: 1})
	})
	t.Run("sentinel", func(t *testing.T) {
		t.Parallel()
		s := serve(t)
		conformance(t, s, redis.Options{Addrs: []string{sentinel(t, s).addr}, MasterName: "main"})
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		s := clusterOfOne(t)
		conformance(t, s, redis.Options{Addrs: []string{s.addr}, Cluster: true})
	})
	t.Run("tls and acl", func(t *testing.T) {
		t.Parallel()
		s, config := serveTLS(t)
		conformance(t, s, redis.Options{Addrs: []string{s.addr}, TLS: true, TLSConfig: config, Username: "authhost", Password: "correct horse"})
	})
}

// serveTLS starts a server that speaks TLS alone and knows one user.
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
	s := &server{t: t, addr: "127.0.0.1:" + port, dir: dir}
	s.args = []string{"--port", "0", "--tls-port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--tls-auth-clients", "no",
		"--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", certFile,
		"--user", "default", "off", "--user", "authhost", "on", fmt.Sprintf("#%x", sha256.Sum256([]byte("correct horse"))), "~part*",
		"-@all", "+@connection", "+@hash", "+@scripting", "+pexpireat", "+pexpiretime"}
	t.Cleanup(s.kill)
	s.start()
	s.wait(goredis.Options{Addr: s.addr, TLSConfig: config, Username: "authhost", Password: "correct horse", Protocol: 2})
	return s, config
}

package token_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/token"
)

func TestRunLoadsAndRefreshes(t *testing.T) {
	p := newIDP(t, jwks(t, jwk(t, "k1", keys().rsa, nil)))
	o, _ := fromURL(p)
	o.RefreshInterval = 5 * time.Millisecond
	v := mustNew(t, o)
	running(t, v)
	eventually(t, "ready", func() bool { return v.Ready(t.Context()) == nil })
	tok := rs256(t, nil)
	wantVerdict(t, v, tok, host.Valid)
	p.set(http.StatusOK, jwks(t, jwk(t, "k2", keys().rsa2, nil)))
	eventually(t, "the old key is gone", func() bool { return verdict(t, v, tok).Verdict == host.BadSignature })
	wantVerdict(t, v, signedBy(t, keys().rsa2, "k2"), host.Valid)
	// Away and back: nothing needs a restart.
	p.set(http.StatusServiceUnavailable, nil)
	hits := p.hits.Load()
	eventually(t, "more tries", func() bool { return p.hits.Load() > hits+2 })
	wantVerdict(t, v, signedBy(t, keys().rsa2, "k2"), host.Valid)
	p.set(http.StatusOK, jwks(t, jwk(t, "k1", keys().rsa, nil)))
	eventually(t, "the first key is back", func() bool {
		got, err := v.Validate(t.Context(), tok)
		return err == nil && got.Verdict == host.Valid
	})
}

// transport answers without a network, so that synctest's clock can run.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// triesOf runs a validator for a while of synctest's time and returns when it
// asked for the set, in seconds.
func triesOf(t *testing.T, maxAge, during time.Duration, answer func(*http.Request) (*http.Response, error)) (tries []int) {
	began := time.Now()
	o := token.Options{Realm: realmName, Issuers: []token.IssuerOptions{{
		Issuer: issuerName, Audiences: []string{audience}, Algorithms: []string{"RS256"}, JWKSURL: "http://idp.test/", JWKSMaxAge: maxAge,
	}}, HTTPClient: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		tries = append(tries, int(time.Since(began)/time.Second))
		return answer(r)
	})}}
	ctx, stop := context.WithTimeout(t.Context(), during)
	defer stop()
	mustNew(t, o).Run(ctx)
	return tries
}

func TestRunPaces(t *testing.T) {
	set := jwks(t, jwk(t, "k1", keys().rsa, nil))
	good := func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(set))}, nil
	}
	away := func(*http.Request) (*http.Response, error) { return nil, errors.New("away") }
	for name, c := range map[string]struct {
		maxAge time.Duration
		during int
		answer func(*http.Request) (*http.Response, error)
		want   []int
	}{
		"every five minutes":           {0, 1000, good, []int{0, 300, 600, 900}},
		"twice within a short max age": {time.Minute, 100, good, []int{0, 30, 60, 90}},
		"sooner after a failure":       {0, 100, away, []int{0, 1, 3, 7, 15, 31, 61, 91}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := triesOf(t, c.maxAge, time.Duration(c.during)*time.Second, c.answer); !slices.Equal(got, c.want) {
					t.Errorf("asked at %v, want %v", got, c.want)
				}
			})
		})
	}
}

// The first half of a secret is a secret too, but not the issuer's.
func TestHalfWrittenSecretIsNeverBelieved(t *testing.T) {
	path := tempFile(t, secret)
	next := bytes.Repeat([]byte("0123456789ABCDEF"), 4)
	hs := func(key []byte) string {
		return sign(t, jwt.SigningMethodHS256, key, map[string]any{"alg": "HS256"}, claims(nil))
	}
	synctest.Test(t, func(t *testing.T) {
		o := fromFile(t, func(i *token.IssuerOptions) {
			i.JWKSFile, i.SecretFile, i.Algorithms = "", path, []string{"HS256"}
		})
		v := mustNew(t, o)
		running(t, v)
		time.Sleep(1500 * time.Millisecond)
		writeFile(t, path, next[:40])
		time.Sleep(550 * time.Millisecond) // between the two looks of the poll at 2 s
		writeFile(t, path, next)
		time.Sleep(500 * time.Millisecond)
		wantVerdict(t, v, hs(next[:40]), host.BadSignature)
		wantVerdict(t, v, hs(secret), host.Valid)
		time.Sleep(2 * time.Second)
		wantVerdict(t, v, hs(next), host.Valid)
		wantVerdict(t, v, hs(secret), host.BadSignature)
	})
}

func TestFileIsWatched(t *testing.T) {
	one, two := jwks(t, jwk(t, "k1", keys().rsa, nil)), jwks(t, jwk(t, "k1", keys().rsa2, nil))
	first, second := rs256(t, nil), signedBy(t, keys().rsa2, "k1")
	valid := func(v *token.Validator, tok string) func() bool {
		return func() bool { return verdict(t, v, tok).Verdict == host.Valid }
	}
	watch := func(t *testing.T, path string) (*token.Validator, *syncBuffer) {
		log := &syncBuffer{}
		o := fromFile(t, func(i *token.IssuerOptions) { i.JWKSFile = path })
		o.FileInterval, o.Logger = 2*time.Millisecond, slog.New(slog.NewJSONHandler(log, nil))
		v := mustNew(t, o)
		wantVerdict(t, v, first, host.Valid)
		running(t, v)
		return v, log
	}
	t.Run("written in place", func(t *testing.T) {
		path := tempFile(t, one)
		v, _ := watch(t, path)
		writeFile(t, path, two)
		eventually(t, "the new key counts", valid(v, second))
		wantVerdict(t, v, first, host.BadSignature)
	})
	t.Run("same size and time", func(t *testing.T) {
		path := tempFile(t, one)
		v, _ := watch(t, path)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(one) != len(two) {
			t.Fatal("the sets differ in size")
		}
		writeFile(t, path, two)
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the new key counts", valid(v, second))
	})
	t.Run("symlink swapped", func(t *testing.T) {
		// As Kubernetes mounts a Secret: file -> ..data/file, ..data -> a folder.
		dir := t.TempDir()
		for name, content := range map[string][]byte{"v1": one, "v2": two} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(dir, name, "jwks.json"), content)
		}
		link := func(target, name string) {
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		link("v1", "..data")
		link("..data/jwks.json", "jwks.json")
		v, _ := watch(t, filepath.Join(dir, "jwks.json"))
		link("v2", "..data_tmp")
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the new key counts", valid(v, second))
	})
	t.Run("truncated, removed, then whole", func(t *testing.T) {
		path := tempFile(t, one)
		v, log := watch(t, path)
		writeFile(t, path, two[:len(two)/2])
		eventually(t, "the failure is logged", func() bool { return strings.Contains(log.String(), "key set not loaded") })
		wantVerdict(t, v, rs256(t, map[string]any{"sub": "bob"}), host.Valid)
		wantUnavailable(t, v, signedBy(t, keys().rsa2, "k2"))
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		wantVerdict(t, v, rs256(t, map[string]any{"sub": "carol"}), host.Valid)
		writeFile(t, path, two)
		eventually(t, "the new key counts", valid(v, second))
		if n := strings.Count(log.String(), "key set not loaded"); n != 1 {
			t.Errorf("the failure was logged %d times", n)
		}
	})
	t.Run("secret", func(t *testing.T) {
		path := tempFile(t, secret)
		next := bytes.ToUpper(secret)
		o := fromFile(t, func(i *token.IssuerOptions) {
			i.JWKSFile, i.SecretFile, i.Algorithms = "", path, []string{"HS256"}
		})
		o.FileInterval = 2 * time.Millisecond
		v := mustNew(t, o)
		hs := func(key []byte) string {
			return sign(t, jwt.SigningMethodHS256, key, map[string]any{"alg": "HS256"}, claims(nil))
		}
		old := hs(secret)
		wantVerdict(t, v, old, host.Valid)
		running(t, v)
		writeFile(t, path, []byte("short"))
		time.Sleep(20 * time.Millisecond)
		wantVerdict(t, v, hs(secret), host.Valid)
		writeFile(t, path, append(next, '\r', '\n'))
		eventually(t, "the new secret counts", valid(v, hs(next)))
		wantVerdict(t, v, old, host.BadSignature)
	})
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

package token_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

// signedBy makes a good token under a kid.
func signedBy(t testing.TB, key any, kid string) string {
	t.Helper()
	return sign(t, jwt.SigningMethodRS256, key, map[string]any{"alg": "RS256", "kid": kid}, claims(nil))
}

func wantHits(t *testing.T, p *idp, want int64) {
	t.Helper()
	if got := p.hits.Load(); got != want {
		t.Fatalf("%d loads, want %d", got, want)
	}
}

func TestSetIsLoadedOnFirstUse(t *testing.T) {
	p := newIDP(t, jwks(t, jwk(t, "k1", keys().rsa, nil)))
	o, _ := fromURL(p)
	v := mustNew(t, o)
	wantHits(t, p, 0)
	if f := v.Ready(t.Context()); !slices.Equal(f, []string{issuerName}) {
		t.Errorf("failing %v before the set was loaded", f)
	}
	wantVerdict(t, v, "a.b.c", host.BadForm)
	wantVerdict(t, v, rs256(t, map[string]any{"iss": "https://evil.example"}), host.WrongIssuer)
	wantVerdict(t, v, sign(t, jwt.SigningMethodRS384, keys().rsa, map[string]any{"alg": "RS384"}, claims(nil)), host.BadSignature)
	wantHits(t, p, 0) // what needs no key causes no load
	wantVerdict(t, v, rs256(t, nil), host.Valid)
	wantVerdict(t, v, rs256(t, map[string]any{"sub": "bob"}), host.Valid)
	wantHits(t, p, 1)
	if f := v.Ready(t.Context()); f != nil {
		t.Errorf("failing %v with the set loaded", f)
	}
}

func TestIssuerAwayAtStart(t *testing.T) {
	p := newIDP(t, jwks(t, jwk(t, "k1", keys().rsa, nil)))
	p.set(http.StatusBadGateway, nil)
	o, c := fromURL(p)
	v, tok := mustNew(t, o), rs256(t, nil)
	for range 3 {
		wantUnavailable(t, v, tok)
	}
	wantHits(t, p, 1)
	p.set(http.StatusOK, jwks(t, jwk(t, "k1", keys().rsa, nil)))
	wantUnavailable(t, v, tok) // within the interval
	c.advance(token.DefaultMissInterval)
	wantVerdict(t, v, tok, host.Valid)
	wantHits(t, p, 2)
}

func TestLastGoodSetServesWhileTheIssuerIsAway(t *testing.T) {
	p := newIDP(t, jwks(t, jwk(t, "k1", keys().rsa, nil)))
	o, c := fromURL(p)
	o.Issuers[0].JWKSMaxAge, o.Issuers[0].MaxTokenLife = 10*time.Hour, 100*time.Hour
	v := mustNew(t, o)
	long := func(sub string) string {
		return rs256(t, map[string]any{"sub": sub, "exp": start.Add(50 * time.Hour).Unix()})
	}
	known := long("alice")
	wantVerdict(t, v, known, host.Valid)
	p.set(http.StatusInternalServerError, nil)

	c.advance(10*time.Hour - 1)
	wantVerdict(t, v, known, host.Valid)
	wantVerdict(t, v, long("bob"), host.Valid)
	wantHits(t, p, 1) // a known kid asks nobody
	wantUnavailable(t, v, signedBy(t, keys().rsa2, "new"))
	wantVerdict(t, v, known, host.Valid)
	wantHits(t, p, 2)

	c.advance(1)
	wantUnavailable(t, v, known)
	wantUnavailable(t, v, long("carol"))
	if f := v.Ready(t.Context()); !slices.Equal(f, []string{issuerName}) {
		t.Errorf("failing %v with a set too old", f)
	}
	p.set(http.StatusOK, jwks(t, jwk(t, "k1", keys().rsa, nil)))
	c.advance(token.DefaultMissInterval)
	wantVerdict(t, v, known, host.Valid)
	wantVerdict(t, v, long("carol"), host.Valid)
}

func TestUnknownKidRefreshesOnceAnInterval(t *testing.T) {
	p := newIDP(t, jwks(t, jwk(t, "k1", keys().rsa, nil), jwk(t, "ec", keys().p256, nil)))
	o, c := fromURL(p)
	v := mustNew(t, o)
	wantVerdict(t, v, rs256(t, nil), host.Valid)
	for i := range 50 {
		wantVerdict(t, v, signedBy(t, keys().rsa2, fmt.Sprint("random", i)), host.BadSignature)
	}
	wantHits(t, p, 1)
	c.advance(token.DefaultMissInterval)
	var w sync.WaitGroup
	for i := range 20 {
		tok := signedBy(t, keys().rsa2, fmt.Sprint("more", i))
		w.Go(func() {
			if got, err := v.Validate(t.Context(), tok); err != nil || got.Verdict != host.BadSignature {
				t.Errorf("verdict %s, error %v", got.Verdict, err)
			}
		})
	}
	w.Wait()
	wantHits(t, p, 2)
	// A kid that is there, but for another algorithm, is not unknown.
	c.advance(token.DefaultMissInterval)
	wantVerdict(t, v, signedBy(t, keys().rsa, "ec"), host.BadSignature)
	wantHits(t, p, 2)
}

func TestUnknownKidWhileRefreshingFails(t *testing.T) {
	p := newIDP(t, jwks(t, jwk(t, "k1", keys().rsa, nil)))
	o, c := fromURL(p)
	v := mustNew(t, o)
	good := rs256(t, nil)
	wantVerdict(t, v, good, host.Valid)
	p.set(http.StatusOK, []byte("<html>down for maintenance</html>"))
	c.advance(token.DefaultMissInterval)
	for i := range 10 {
		wantUnavailable(t, v, signedBy(t, keys().rsa2, fmt.Sprint("random", i)))
	}
	wantHits(t, p, 2)
	wantVerdict(t, v, mangle(good, 2), host.BadSignature) // the key is known
	p.set(http.StatusOK, jwks(t, jwk(t, "k1", keys().rsa, nil)))
	c.advance(token.DefaultMissInterval)
	wantVerdict(t, v, signedBy(t, keys().rsa2, "k"), host.BadSignature)
}

func TestKeyRotation(t *testing.T) {
	k1, k2 := jwk(t, "k1", keys().rsa, nil), jwk(t, "k2", keys().rsa2, nil)
	p := newIDP(t, jwks(t, k1))
	o, c := fromURL(p)
	v := mustNew(t, o)
	old, next := rs256(t, nil), signedBy(t, keys().rsa2, "k2")
	wantVerdict(t, v, old, host.Valid)
	p.set(http.StatusOK, jwks(t, k2, k1))
	wantVerdict(t, v, next, host.BadSignature) // loaded just now
	c.advance(token.DefaultMissInterval)
	wantVerdict(t, v, next, host.Valid)
	wantVerdict(t, v, old, host.Valid)
	p.set(http.StatusOK, jwks(t, k2))
	c.advance(token.DefaultMissInterval)
	wantVerdict(t, v, signedBy(t, keys().rsa2, "k3"), host.BadSignature)
	wantVerdict(t, v, old, host.BadSignature)
	wantVerdict(t, v, next, host.Valid)
}

// While a load hangs, tokens whose key is known pass, and who waits for it
// waits no longer than he wants; his leaving does not end it.
func TestSlowIssuerBlocksNobodyElse(t *testing.T) {
	p := newIDP(t, jwks(t, jwk(t, "k1", keys().rsa, nil)))
	o, c := fromURL(p)
	v := mustNew(t, o)
	wantVerdict(t, v, rs256(t, nil), host.Valid)
	p.set(http.StatusOK, jwks(t, jwk(t, "k1", keys().rsa, nil), jwk(t, "k2", keys().rsa2, nil)))
	gate := make(chan struct{})
	p.block(gate)
	c.advance(token.DefaultMissInterval)

	next := signedBy(t, keys().rsa2, "k2")
	gone, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := v.Validate(gone, next)
		left <- err
	}()
	eventually(t, "the load begins", func() bool { return p.hits.Load() == 2 })
	stays := make(chan host.Verdict)
	go func() {
		got, _ := v.Validate(t.Context(), next)
		stays <- got.Verdict
	}()
	wantVerdict(t, v, rs256(t, map[string]any{"sub": "bob"}), host.Valid)
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v of one who left", err)
	}
	close(gate)
	if got := <-stays; got != host.Valid {
		t.Errorf("verdict %s for one who waited", got)
	}
	wantHits(t, p, 2)
}

func TestHangingIssuerIsGivenUp(t *testing.T) {
	p := newIDP(t, nil)
	gate := make(chan struct{})
	p.block(gate)
	o, _ := fromURL(p)
	o.FetchTimeout = 20 * time.Millisecond
	err := wantUnavailable(t, mustNew(t, o), rs256(t, nil))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cause %v", err)
	}
	close(gate)
}

func TestWhatAnIssuerMayAnswer(t *testing.T) {
	good := jwks(t, jwk(t, "k1", keys().rsa, nil))
	elsewhere := newIDP(t, good)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		cause  string // empty: accepted
	}{
		"redirected": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, ""},
		"other scheme": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/", http.StatusFound)
		}, "another scheme"},
		"in a circle": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }, "too often"},
		"too long":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte(" "), 1<<20+1)) }, "more than"},
		"204":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, "204"},
		"404":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound); _, _ = w.Write(good) }, "404"},
		"no keys":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"error":"x"}`)) }, `no "keys"`},
		"keys null":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":null}`)) }, `no "keys"`},
		"cut short":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(good[:len(good)-1]) }, "not a JWK Set"},
		"broken off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(good)+1))
			_, _ = w.Write(good)
		}, "EOF"},
		"connection dropped": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(c.answer)
			t.Cleanup(s.Close)
			o, _ := fromURL(&idp{Server: s})
			o.Issuers[0].JWKSURL = strings.Replace(s.URL, "http://", "http://user:hidden@", 1) + "/?key=hidden"
			v := mustNew(t, o)
			if c.cause == "" {
				wantVerdict(t, v, rs256(t, nil), host.Valid)
				return
			}
			err := wantUnavailable(t, v, rs256(t, nil))
			if !strings.Contains(err.Error(), c.cause) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("error %q, want one with %q and without the URL", err, c.cause)
			}
		})
	}
}

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
type transport func() (*http.Response, error)

func (f transport) RoundTrip(*http.Request) (*http.Response, error) { return f() }

// triesOf runs a validator for a while of synctest's time and returns when it
// asked for the set, in seconds.
func triesOf(t *testing.T, maxAge, during time.Duration, answer func() (*http.Response, error)) (tries []int) {
	began := time.Now()
	o := token.Options{Realm: realmName, Issuers: []token.IssuerOptions{{
		Issuer: issuerName, Audiences: []string{audience}, Algorithms: []string{"RS256"}, JWKSURL: "http://idp.test/", JWKSMaxAge: maxAge,
	}}, HTTPClient: &http.Client{Transport: transport(func() (*http.Response, error) {
		tries = append(tries, int(time.Since(began)/time.Second))
		return answer()
	})}}
	ctx, stop := context.WithTimeout(t.Context(), during)
	defer stop()
	mustNew(t, o).Run(ctx)
	return tries
}

func TestRunPaces(t *testing.T) {
	set := jwks(t, jwk(t, "k1", keys().rsa, nil))
	good := func() (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(set))}, nil
	}
	away := func() (*http.Response, error) { return nil, errors.New("away") }
	for name, c := range map[string]struct {
		maxAge time.Duration
		during int
		answer func() (*http.Response, error)
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

func TestPreviousHandsItsSetsOn(t *testing.T) {
	p := newIDP(t, jwks(t, jwk(t, "k1", keys().rsa, nil)))
	o, c := fromURL(p)
	old, tok := mustNew(t, o), rs256(t, nil)
	wantVerdict(t, old, tok, host.Valid)
	p.set(http.StatusBadGateway, nil)
	c.advance(time.Minute)
	o.Previous = old
	o.Issuers[0].Audiences = []string{"another"}
	wantVerdict(t, mustNew(t, o), tok, host.WrongAudience)
	// Another URL is another set.
	o.Issuers[0].JWKSURL += "/other"
	wantUnavailable(t, mustNew(t, o), tok)
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

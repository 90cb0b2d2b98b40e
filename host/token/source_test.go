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

func TestLogTellsOfTheLastGoodSetIfThereWasOne(t *testing.T) {
	set := jwks(t, jwk(t, "k1", keys().rsa, nil))
	p := newIDP(t, set)
	o, c := fromURL(p)
	var log syncBuffer
	o.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	v := mustNew(t, o)
	p.set(http.StatusBadGateway, nil)
	wantUnavailable(t, v, rs256(t, nil))
	if said := log.String(); !strings.Contains(said, "key set not loaded") || strings.Contains(said, "last_good") {
		t.Errorf("of a set that never was: %s", said)
	}
	p.set(http.StatusOK, set)
	c.advance(token.DefaultMissInterval)
	wantVerdict(t, v, rs256(t, nil), host.Valid)
	p.set(http.StatusBadGateway, nil)
	c.advance(token.DefaultMissInterval)
	wantUnavailable(t, v, signedBy(t, keys().rsa2, "k2"))
	if said := log.String(); strings.Count(said, "key set not loaded") != 2 || !strings.Contains(said, "last_good") {
		t.Errorf("of a set that was there: %s", said)
	}
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
	synctest.Test(t, func(t *testing.T) {
		o, _ := fromURL(&idp{Server: &httptest.Server{URL: "http://idp.test/"}})
		o.HTTPClient = &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		began := time.Now()
		err := wantUnavailable(t, mustNew(t, o), rs256(t, nil))
		if took := time.Since(began); took != token.DefaultFetchTimeout || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("given up after %s: %v", took, err)
		}
	})
}

// Run and a token that need the set at the same time make one load.
func TestOneLoadAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, loads := jwks(t, jwk(t, "k1", keys().rsa, nil)), 0
		o, _ := fromURL(&idp{Server: &httptest.Server{URL: "http://idp.test/"}})
		o.HTTPClient = &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
			loads++
			time.Sleep(2 * time.Second)
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(set))}, nil
		})}
		v := mustNew(t, o)
		go func() {
			time.Sleep(time.Second)
			v.Run(t.Context())
		}()
		wantVerdict(t, v, rs256(t, nil), host.Valid)
		time.Sleep(time.Minute)
		if loads != 1 {
			t.Errorf("%d loads", loads)
		}
	})
}

// The age of a set counts from when it was asked for.
func TestAgeOfASlowSet(t *testing.T) {
	set := jwks(t, jwk(t, "k1", keys().rsa, nil))
	o, c := fromURL(&idp{Server: &httptest.Server{URL: "http://idp.test/"}})
	o.Issuers[0].JWKSMaxAge = time.Minute
	took := time.Minute
	o.HTTPClient = &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
		c.advance(took)
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(set))}, nil
	})}
	wantUnavailable(t, mustNew(t, o), rs256(t, nil))
	took--
	wantVerdict(t, mustNew(t, o), rs256(t, nil), host.Valid)
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

package edge_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/edge"
)

var targets = []string{"/", "/api/x?a=b", "/public/../api", "/public/%2e%2e/api", "/a%2fb", "/a;b", "//admin", "/%252e", "/caf%C3%A9", "/\xff",
	"/a\x00", "/a?b#c", "/a%23", "http://a/b", "*", "/.well-known/", "/%2", "/a/%2e%2E/./..//b?x=//../", `/a\..\b`, "/%00", "/|\"<>[]"}

// checkPath holds an accepted target against what must be true of every one.
func checkPath(t *testing.T, path, rawPath, query string) {
	t.Helper()
	decoded, err := url.PathUnescape(rawPath)
	if err != nil || decoded != path || !utf8.ValidString(path) {
		t.Fatalf("raw %q decodes to %q, judged %q (%v)", rawPath, decoded, path, err)
	}
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.ContainsAny(path, `\;?#`) {
		t.Fatalf("path %q passes", path)
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			t.Fatalf("path %q passes", path)
		}
	}
	for _, c := range []byte(path + rawPath + query) {
		if c < 0x20 || c == 0x7f {
			t.Fatalf("control character in %q or %q", path, query)
		}
	}
	if again, err := url.PathUnescape(path); err == nil && again != path {
		t.Fatalf("path %q decodes further to %q", path, again)
	}
	if strings.ContainsAny(rawPath, " #") || strings.ContainsAny(query, " #") {
		t.Fatalf("space or # in %q or %q", rawPath, query)
	}
	// net/url, which upstreams in Go use, must read it the same way.
	if u, err := url.ParseRequestURI(rawPath + "?" + query); err != nil || u.Path != path || u.RawQuery != query || u.Host != "" {
		t.Fatalf("net/url reads %q as %+v (%v)", rawPath, u, err)
	}
}

func FuzzTarget(f *testing.F) {
	for _, raw := range targets {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		strict, err := edge.ParseTarget(raw)
		if err == nil {
			checkPath(t, strict.Path, strict.RawPath, strict.Query)
			if want, _, _ := strings.Cut(raw, "?"); strict.RawPath != want {
				t.Fatalf("%q: raw path %q is not what is forwarded", raw, strict.RawPath)
			}
		}
		clean, cleanErr := edge.CleanTarget(raw)
		if cleanErr != nil {
			if err == nil {
				t.Fatalf("%q passes as it is, but not cleaned: %v", raw, cleanErr)
			}
			return
		}
		checkPath(t, clean.Path, clean.RawPath, clean.Query)
		if err == nil && clean.Path != strict.Path {
			t.Fatalf("%q: judged %q, cleaned %q", raw, strict.Path, clean.Path)
		}
		if again, err := edge.ParseTarget(clean.RawPath); err != nil || again.Path != clean.Path {
			t.Fatalf("%q: cleaned %q, which is %+v (%v)", raw, clean.RawPath, again, err)
		}
		if again, err := edge.CleanTarget(clean.RawPath); err != nil || again.RawPath != clean.RawPath {
			t.Fatalf("%q: cleaned %q, cleaned again %q (%v)", raw, clean.RawPath, again.RawPath, err)
		}
		// What net/http sends for it is what was judged.
		if sent := (&url.URL{Path: clean.Path, RawPath: clean.RawPath, RawQuery: clean.Query}).RequestURI(); !strings.HasPrefix(sent, clean.RawPath) {
			t.Fatalf("judged %q, sent %q", clean.RawPath, sent)
		}
	})
}

// checkJudged serves r, and checks what was judged if anything was.
func checkJudged(t *testing.T, g *rig, r *http.Request) (host.Request, int) {
	t.Helper()
	status := g.serve(t, r).StatusCode
	ev, req := g.one(t)
	if ev.Status != status || status == 503 {
		t.Fatalf("%d, recorded %d: %v", status, ev.Status, ev.Cause)
	}
	if status == 400 {
		return req, status
	}
	checkPath(t, req.Path, req.RawPath, req.RawQuery)
	if req.Host == "" || req.Host != strings.ToLower(req.Host) || strings.ContainsAny(req.Host, "/?#@\\ %") || strings.HasSuffix(req.Host, ".") {
		t.Fatalf("host %q passes", req.Host)
	}
	if !host.IsMethod(req.Method) || req.Method != strings.ToUpper(req.Method) || req.Scheme != "http" && req.Scheme != "https" || !req.Client.IsValid() {
		t.Fatalf("%+v passes", req)
	}
	return req, status
}

func FuzzForwardedHeaders(f *testing.F) {
	for _, uri := range targets {
		f.Add("GET", "https", "app.example", uri, "203.0.113.7, 10.0.0.1", "Accept")
	}
	f.Add("GET", "https", "app.example", "/", "", "X_Auth_Request_User")
	f.Add("get", "ws", "APP.example.:80", "/healthz", "[::1]:80,unknown", "X-Auth-Request-User")
	f.Add("M-1_X", "wss", "[::1]:80", "/%68ealthz", "", "x")
	g := newRig(f)
	f.Fuzz(func(t *testing.T, method, proto, name, uri, xff, header string) {
		r := ask{}.forwarded()
		r.Header["X-Forwarded-Method"], r.Header["X-Forwarded-Proto"] = []string{method}, []string{proto}
		r.Header["X-Forwarded-Host"], r.Header["X-Forwarded-Uri"] = []string{name}, []string{uri}
		r.Header["X-Forwarded-For"] = []string{xff}
		r.Header[header] = append(r.Header[header], "x")
		req, status := checkJudged(t, g, r)
		if status != 400 && (req.Method != method || req.Authority != name || !strings.HasPrefix(uri, req.RawPath)) {
			t.Fatalf("%+v of %q %q %q", req, method, name, uri)
		}
		r.RemoteAddr = client + ":1"
		if _, status := checkJudged(t, g, r); status != 400 {
			t.Fatalf("%d to a stranger", status)
		}
	})
}

func FuzzOriginalURL(f *testing.F) {
	for _, uri := range targets {
		f.Add("GET", "https://app.example"+uri)
	}
	for _, u := range []string{"https://app.example", "https:///x", "http://app.example:80/", "https://app.example?x=/healthz", "://", "https://u@app.example/",
		`https://app.example\@evil/healthz`, "https://app.example#/healthz", "HTTPS://app.example/", "https://app.example/healthz https://evil/"} {
		f.Add("M-1_X", u)
	}
	f.Add("get", "https://app.example/")
	g := newRig(f)
	f.Fuzz(func(t *testing.T, method, u string) {
		r := ask{}.original()
		r.Header["X-Original-Method"], r.Header["X-Original-Url"] = []string{method}, []string{u}
		req, status := checkJudged(t, g, r)
		if status == 400 {
			return
		}
		if req.Method != method {
			t.Fatalf("%q is read as %q", method, req.Method)
		}
		if !strings.Contains(u, "://"+req.Authority+req.RawPath) {
			t.Fatalf("%q is read as %q and %q", u, req.Authority, req.RawPath)
		}
		if parsed, err := url.Parse(u); err != nil || parsed.Host != req.Authority || parsed.Path != req.Path || parsed.RawQuery != req.RawQuery {
			t.Fatalf("net/url reads %q as %+v (%v), judged %+v", u, parsed, err, req)
		}
	})
}

func FuzzExtAuthz(f *testing.F) {
	for _, uri := range targets {
		f.Add("GET", uri, "app.example", true, "https", "Accept")
	}
	f.Add("DELETE", "/healthz?a", "APP.example.:80", false, "", "Accept")
	f.Add("GET", "/", "app.example", true, "https", "X_Auth_Request_User")
	f.Add("M-1_X", "", "APP.example.:80", false, "", "X-Forwarded-Uri")
	f.Add("get", "?x=/healthz", "[::1]:80", true, "wss", "X-Forwarded-Proto")
	f.Add("POST", "ier/healthz", "app.example@evil", true, "", "x")
	f.Add("POST", "/authz/ext-authz/healthz?a?b", "app.example", true, "ws", "Host")
	g := newRig(f)
	f.Fuzz(func(t *testing.T, method, uri, name string, said bool, proto, header string) {
		r := ask{uri: uri}.envoy()
		r.Method, r.Host = method, name
		if delete(r.Header, "X-Forwarded-Proto"); said {
			r.Header["X-Forwarded-Proto"] = []string{proto}
		}
		r.Header[header] = append(r.Header[header], "x")
		req, status := checkJudged(t, g, r)
		if status != 400 {
			scheme := "http"
			if said {
				scheme = strings.Replace(proto, "ws", "http", 1)
			}
			rawPath, query, _ := strings.Cut(uri, "?")
			if req.Method != method || req.Scheme != scheme || req.Authority != name || req.RawPath != rawPath || req.RawQuery != query {
				t.Fatalf("%+v of %q %q %q %q", req, method, scheme, name, uri)
			}
		}
		r.RemoteAddr = client + ":1"
		if _, status := checkJudged(t, g, r); status != 400 {
			t.Fatalf("%d to a stranger", status)
		}
	})
}

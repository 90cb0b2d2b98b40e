package egress_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/egress"
)

// granted returns a client and a policy that reach a server of the test.
func granted(t *testing.T, o egress.Options, h http.HandlerFunc) (*egress.Client, egress.Policy, *target) {
	s := startTarget(t, "127.0.0.1:0", h)
	s.Start()
	return newClient(t, o), egress.Policy{Hosts: []string{"127.0.0.1:" + s.port}, Private: true}, s
}

func TestRequestAsItArrives(t *testing.T) {
	c, p, s := granted(t, egress.Options{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%s %s %s %q %q %q %q %s", r.Method, r.RequestURI, r.Host, r.Header["X-Id"], r.Header["User-Agent"],
			r.Header["Cookie"], r.Header["Accept-Encoding"], body)
	})
	r := egress.Request{Method: "POST", URL: s.URL + "/a%2fb?q=%20", Header: http.Header{"X-Id": {"1", "2"}}, Body: []byte("body")}
	for range 2 { // the cookie does not come back
		got, err := c.Do(t.Context(), p, r)
		want := fmt.Sprintf(`POST /a%%2fb?q=%%20 127.0.0.1:%s ["1" "2"] ["authhost"] [] [] body`, s.port)
		if err != nil || got.Status != 201 || string(got.Body) != want {
			t.Fatalf("%v\ngot  %d %s\nwant 201 %s", err, got.Status, got.Body, want)
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	c, p, s := granted(t, egress.Options{}, nil)
	many := http.Header{"X-A": make([]string, egress.MaxHeaders+1)}
	cases := map[string]egress.Request{
		"no method":      {URL: s.URL},
		"CONNECT":        {Method: "CONNECT", URL: s.URL},
		"TRACE":          {Method: "TRACE", URL: s.URL},
		"lower case":     {Method: "get", URL: s.URL},
		"split method":   {Method: "GET / HTTP/1.1\r\nX:", URL: s.URL},
		"no URL":         {Method: "GET"},
		"long URL":       get(s.URL + "/" + strings.Repeat("a", egress.MaxURL)),
		"other scheme":   get("ftp://127.0.0.1:" + s.port),
		"file":           get("file:///etc/passwd"),
		"unix":           get("unix:///run/x.sock"),
		"no scheme":      get("127.0.0.1:" + s.port),
		"opaque":         get("http:127.0.0.1:" + s.port),
		"user":           get("http://user:secret@127.0.0.1:" + s.port),
		"fragment":       get(s.URL + "/#a"),
		"line":           get(s.URL + "/\r\nX: y"),
		"other port":     get("http://127.0.0.1:1"),
		"port 0":         get("http://127.0.0.1:0"),
		"long port":      get("http://127.0.0.1:0" + s.port),
		"huge port":      get("http://127.0.0.1:65536"),
		"empty port":     get("http://127.0.0.1:"),
		"long body":      {Method: "POST", URL: s.URL, Body: make([]byte, egress.MaxBody+1)},
		"many headers":   {Method: "GET", URL: s.URL, Header: many},
		"header name":    {Method: "GET", URL: s.URL, Header: http.Header{"A b": {""}}},
		"no header name": {Method: "GET", URL: s.URL, Header: http.Header{"": {""}}},
		"header case":    {Method: "GET", URL: s.URL, Header: http.Header{"host": {"evil"}}},
		"header value":   {Method: "GET", URL: s.URL, Header: http.Header{"X-A": {"a\r\nX-B: c"}}},
		"header NUL":     {Method: "GET", URL: s.URL, Header: http.Header{"X-A": {"\x00"}}},
		"long value":     {Method: "GET", URL: s.URL, Header: http.Header{"X-A": {strings.Repeat("a", egress.MaxValue+1)}}},
	}
	for _, name := range []string{"Host", "Connection", "Content-Length", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Expect", "Cookie",
		"Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Accept-Encoding"} {
		cases[name] = egress.Request{Method: "GET", URL: s.URL, Header: http.Header{name: {"x"}}}
	}
	for name, r := range cases {
		_, err := c.Do(t.Context(), p, r)
		if word(t, err) != egress.Refused {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error quotes the URL: %v", name, err)
		}
	}
	if n := s.hits.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestBounds(t *testing.T) {
	t.Run("body", func(t *testing.T) {
		size := egress.MaxBody
		c, p, s := granted(t, egress.Options{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) })
		if got, err := c.Do(t.Context(), p, get(s.URL)); err != nil || len(got.Body) != size {
			t.Errorf("%d bytes, %v", len(got.Body), err)
		}
		size++
		got, err := c.Do(t.Context(), p, get(s.URL))
		if word(t, err) != egress.TooLarge || got.Status != 200 || got.Body != nil {
			t.Errorf("%d %d bytes, %v", got.Status, len(got.Body), err)
		}
	})
	t.Run("endless body", func(t *testing.T) {
		c, p, s := granted(t, egress.Options{}, func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		})
		if _, err := c.Do(t.Context(), p, get(s.URL)); word(t, err) != egress.TooLarge {
			t.Error(err)
		}
	})
	t.Run("bomb", func(t *testing.T) { // what is compressed stays so
		c, p, s := granted(t, egress.Options{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "\x1f\x8b")
		})
		if got, err := c.Do(t.Context(), p, get(s.URL)); err != nil || string(got.Body) != "\x1f\x8b" {
			t.Errorf("%q %v", got.Body, err)
		}
	})
	t.Run("headers", func(t *testing.T) {
		c, p, s := granted(t, egress.Options{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-A", strings.Repeat("a", 1<<20))
		})
		if _, err := c.Do(t.Context(), p, get(s.URL)); word(t, err) != egress.Unreachable {
			t.Error(err)
		}
	})
	for name, send := range map[string]string{"answer": "", "body": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"} {
		t.Run("no "+name, func(t *testing.T) { // the server hears us out and says no more
			c := newClient(t, egress.Options{Timeout: 50 * time.Millisecond})
			url, p := silent(t, send)
			if _, err := c.Do(t.Context(), p, get(url)); word(t, err) != egress.Timeout {
				t.Error(err)
			}
		})
	}
	t.Run("caller's end", func(t *testing.T) {
		url, p := silent(t, "")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := newClient(t, egress.Options{}).Do(ctx, p, get(url)); word(t, err) != egress.Timeout {
			t.Error(err)
		}
	})
}

// silent starts a server that says one thing and keeps the line.
func silent(t *testing.T, say string) (string, egress.Policy) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, say)
			}
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	address := l.Addr().String()
	return "http://" + address, egress.Policy{Hosts: []string{address}, Private: true}
}

func TestUnreachable(t *testing.T) {
	_, names := startNames(t, nil)
	c := newClient(t, egress.Options{Resolver: names})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	talker, p := silent(t, "220 mail.example ESMTP\r\n")
	tls := startTarget(t, "127.0.0.1:0", nil) // whose certificate nobody vouches for
	tls.StartTLS()
	p.Hosts = append(p.Hosts, nobody, "nowhere.example", tls.Listener.Addr().String())
	for _, url := range []string{"http://" + nobody, "https://nowhere.example", talker, tls.URL} {
		if _, err := c.Do(t.Context(), p, get(url)); word(t, err) != egress.Unreachable {
			t.Errorf("%s: %v", url, err)
		}
	}
	if tls.hits.Load() != 0 {
		t.Error("a server without a valid certificate was talked to")
	}
}

package egress_test

import (
	"crypto/x509"
	"net/http"
	"net/netip"
	"testing"

	"github.com/authhost/authhost/host/egress"
)

// Literals of 127.0.0.1, of ::1 and of the metadata address in notations that
// one resolver or another takes for them.
var literals = []string{
	"127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "127.000.000.001", "0127.0.0.1", "0177.0.0.1", "0177.0.0.01", "017700000001",
	"0x7f.0.0.1", "0x7f.1", "0x7f000001", "0X7F000001", "0x7f.0x0.0x0.0x1", "2130706433", "127.0.0.1.nip.io.127.0.0.1", "0", "0.0.0.0",
	"00000177.1", "127.0.0.0x1", "1.0x7f", "127.65535", "4294967296", "6425673729",
	"[::1]", "[0:0:0:0:0:0:0:1]", "[0::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:1]", "[::7f00:1]", "[::127.0.0.1]",
	"[::]", "[::1%25lo]", "[::1%lo]", "[fe80::1%25lo]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[::ffff:0:127.0.0.1]",
	"::1", "[127.0.0.1]", "[v1.7f000001]", "[::1].", "[::1", "%5B::1%5D",
	"%31%32%37.0.0.1", "127%2e0%2e0%2e1", "127.0.0.1%00", "127.0.0.1%2f", "127.0.0.1%23",
	"\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "127\u30020\u30020\u30021", "\uff11\uff12\uff17.0.0.1", "127\uff0e0\uff0e0\uff0e1", "\uff10\U0001d7ce.0.0.0", "127.0.0.\u0661", "\u200b127.0.0.1",
	"%E2%91%A0%E2%91%A1%E2%91%A6.0.0.1", "%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1", "localhost", "LOCALHOST", "localhost.", "ip6-localhost",
	"169.254.169.254", "0xa9fea9fe", "2852039166", "[fd00:ec2::254]",
	"hooks.example@127.0.0.1", "127.0.0.1@hooks.example", "hooks.example:443@127.0.0.1", "hooks.example\\@127.0.0.1", "127.0.0.1#@hooks.example",
	"127.0.0.1?@hooks.example", "127.0.0.1\\.hooks.example", "hooks.example.127.0.0.1", "hooks.example%00.127.0.0.1", "hooks.example%2f@127.0.0.1",
	"127.0.0.1 hooks.example", "127.0.0.1\thooks.example", "hooks.example\r\nHost: 127.0.0.1", "", ".", "..", "-", "hooks.example..", ".hooks.example",
}

// http cannot reach a private address by a literal, whatever its notation, and
// whichever parts of it the list of hosts looks like.
func TestPrivateByLiteral(t *testing.T) {
	plain := startTarget(t, "127.0.0.1:0", nil)
	plain.Start()
	_, names := startNames(t, nil)
	c := newClient(t, egress.Options{Resolver: names})
	hosts := []string{"hooks.example", "*.hooks.example", "*.example", "hooks.example:" + plain.port}
	for _, host := range literals {
		for _, url := range []string{"https://" + host + ":" + plain.port + "/", "https://" + host + "/", "http://" + host + ":" + plain.port + "/"} {
			if _, err := c.Do(t.Context(), egress.Policy{Hosts: hosts}, get(url)); word(t, err) != egress.Refused {
				t.Errorf("%q: %v", url, err)
			}
			// Nor by a list that names it, unless the grant is for private addresses.
			p := egress.Policy{Hosts: []string{host, host + ":" + plain.port}}
			if _, err := c.Do(t.Context(), p, get(url)); err == nil {
				t.Errorf("%q, on the list: answered", url)
			}
		}
	}
	if n := plain.hits.Load(); n != 0 {
		t.Errorf("the private server was reached %d times", n)
	}
	// That it can be reached at all is shown with the grant.
	p := egress.Policy{Hosts: []string{"127.0.0.1:" + plain.port}, Private: true}
	if r, err := c.Do(t.Context(), p, get(plain.URL)); err != nil || r.Status != 200 {
		t.Errorf("granted: %v %v", r, err)
	}
	for _, host := range literals[1:] { // what the list names is that one notation
		_, err := c.Do(t.Context(), p, get("http://"+host+":"+plain.port+"/"))
		if word(t, err) != egress.Refused {
			t.Errorf("%q, granted as 127.0.0.1: %v", host, err)
		}
	}
}

// http cannot reach a private address by what a name server says.
func TestPrivateByDNSAnswer(t *testing.T) {
	server := startTarget(t, "127.0.0.1:0", nil)
	server.Start()
	for _, address := range []string{
		"127.0.0.1", "127.0.0.53", "0.0.0.0", "10.0.0.1", "100.64.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1", "198.18.0.1", "224.0.0.1", "255.255.255.255",
		"::1", "::", "::ffff:127.0.0.1", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::1", "2001:0:1::1", "fd00::1", "fe80::1", "ff02::1",
	} {
		asked, names := startNames(t, map[string][][]string{"hooks.example": {{address}}})
		c := newClient(t, egress.Options{Resolver: names})
		_, err := c.Do(t.Context(), egress.Policy{Hosts: []string{"hooks.example:" + server.port}}, get("https://hooks.example:"+server.port))
		if word(t, err) != egress.Refused {
			t.Errorf("%s: %v", address, err)
		}
		if asked.questions("hooks.example") == 0 {
			t.Errorf("%s: the name server was not asked", address)
		}
	}
	if n := server.hits.Load(); n != 0 {
		t.Errorf("the private server was reached %d times", n)
	}

	asked, names := startNames(t, map[string][][]string{"hooks.example": {{"127.0.0.1"}}})
	c := newClient(t, egress.Options{Resolver: names})
	granted := egress.Policy{Hosts: []string{"hooks.example:" + server.port}, Private: true}
	if r, err := c.Do(t.Context(), granted, get("http://hooks.example:"+server.port)); err != nil || r.Status != 200 {
		t.Errorf("granted: %v %v", r, err)
	}
	if n := asked.questions("hooks.example"); n != 1 {
		t.Errorf("the name was resolved %d times for one request: what was judged may not be what was dialled", n)
	}
	// Nor by a connection that a plugin with the grant left open.
	if _, err := c.Do(t.Context(), egress.Policy{Hosts: granted.Hosts}, get("https://hooks.example:"+server.port)); word(t, err) != egress.Refused {
		t.Errorf("without the grant, after one with it: %v", err)
	}
}

// The name is that of a server of the Internet when it is asked first, and
// that of a private one afterwards.
func TestPrivateByRebinding(t *testing.T) {
	public := startTarget(t, "127.0.0.2:0", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	public.StartTLS()
	private := startTarget(t, "127.0.0.1:"+public.port, nil)
	private.StartTLS()
	roots := x509.NewCertPool()
	roots.AddCert(public.Certificate())
	_, names := startNames(t, map[string][][]string{"example.com": {{"127.0.0.2"}, {"127.0.0.1"}}})
	c := newClient(t, egress.Options{Resolver: names, RootCAs: roots})
	c.Consider(netip.MustParseAddr("127.0.0.2"))
	p := egress.Policy{Hosts: []string{"example.com:" + public.port}}
	if r, err := c.Do(t.Context(), p, get("https://example.com:"+public.port)); err != nil || r.Status != 200 {
		t.Fatalf("first: %v %v", r, err)
	}
	if _, err := c.Do(t.Context(), p, get("https://example.com:"+public.port)); word(t, err) != egress.Refused {
		t.Errorf("second: %v", err)
	}
	if public.hits.Load() != 1 || private.hits.Load() != 0 {
		t.Errorf("reached: public %d, private %d", public.hits.Load(), private.hits.Load())
	}
}

// http cannot reach a private address by a redirect, nor anything else: it is
// an answer like any other.
func TestPrivateByRedirect(t *testing.T) {
	private := startTarget(t, "127.0.0.1:0", nil)
	private.Start()
	for _, status := range []int{300, 301, 302, 303, 305, 307, 308} {
		public := startTarget(t, "127.0.0.2:0", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", private.URL)
			w.Header().Set("Refresh", "0; url="+private.URL)
			w.Header().Set("Alt-Svc", `h2="`+private.Listener.Addr().String()+`"`)
			w.WriteHeader(status)
		})
		public.StartTLS()
		roots := x509.NewCertPool()
		roots.AddCert(public.Certificate())
		_, names := startNames(t, map[string][][]string{"example.com": {{"127.0.0.2"}}})
		c := newClient(t, egress.Options{Resolver: names, RootCAs: roots})
		c.Consider(netip.MustParseAddr("127.0.0.2"))
		p := egress.Policy{Hosts: []string{"example.com:" + public.port}}
		for range 2 {
			if r, err := c.Do(t.Context(), p, get("https://example.com:"+public.port)); err != nil || r.Status != status {
				t.Errorf("%d: %v %v", status, r, err)
			}
		}
		if public.hits.Load() != 2 {
			t.Errorf("%d: the public server was reached %d times", status, public.hits.Load())
		}
	}
	if n := private.hits.Load(); n != 0 {
		t.Errorf("the private server was reached %d times", n)
	}
}

// What the environment says of proxies does not count.
func TestNoProxy(t *testing.T) {
	server := startTarget(t, "127.0.0.1:0", nil)
	server.Start()
	proxy := startTarget(t, "127.0.0.1:0", nil)
	proxy.Start()
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	_, names := startNames(t, map[string][][]string{"hooks.example": {{"127.0.0.1"}}})
	c := newClient(t, egress.Options{Resolver: names})
	p := egress.Policy{Hosts: []string{"hooks.example:" + server.port}, Private: true}
	if _, err := c.Do(t.Context(), p, get("http://hooks.example:"+server.port)); err != nil {
		t.Error(err)
	}
	if server.hits.Load() != 1 || proxy.hits.Load() != 0 {
		t.Errorf("server %d, proxy %d", server.hits.Load(), proxy.hits.Load())
	}
}

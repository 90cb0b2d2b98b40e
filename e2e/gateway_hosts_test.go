package e2e

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// siteHosts are the hosts of the gateways with several of them. Each has an
// application of its own; the first is nginx's default.
var siteHosts = []string{"console.example", "public.example", "lab.example"}

// siteRoutes make one host public.
const siteRoutes = `
routes:
  - {hosts: [public.example], path: "/**", authenticate: none}
  - {path: "/**", default: allow}
`

// eachGatewayOfSites runs test behind each gateway with the shipped server
// repeated for every one of siteHosts.
func eachGatewayOfSites(t *testing.T, config string, test func(t *testing.T, sites map[string]*gateway, h *authhost)) {
	h := serve(t, listen+config)
	authhost := strings.TrimPrefix(h.public, "http://")
	for _, name := range []string{"nginx", "caddy"} {
		t.Run(name, func(t *testing.T) {
			addr, sites := freeAddr(t), map[string]*gateway{}
			for _, host := range siteHosts {
				sites[host] = &gateway{name, addr, newGatewayApp(t)}
			}
			if name == "nginx" {
				conf := repeated(shipped(t, "nginx.conf", "127.0.0.1:8080", authhost, "127.0.0.1:8088", addr), "server {\n    listen", func(host, server string) string {
					return strings.NewReplacer("listen "+addr+";", "listen "+addr+"; server_name "+host+";",
						"http://application", sites[host].server.URL).Replace(server)
				})
				startGateway(t, addr, nginxCommand(t, nginxDir(t, conf), "-g", "daemon off;"))
			} else {
				_, port, err := net.SplitHostPort(addr)
				if err != nil {
					t.Fatal(err)
				}
				dir := t.TempDir()
				writeFile(t, filepath.Join(dir, "Caddyfile"), repeated(shipped(t, "Caddyfile", "127.0.0.1:8080", authhost), "http://:8089 {", func(host, site string) string {
					return strings.NewReplacer("http://:8089", "http://"+host+":"+port, "127.0.0.1:3000", sites[host].server.Listener.Addr().String()).Replace(site)
				}))
				startGateway(t, addr, caddyCommand(t, dir, "run"))
			}
			test(t, sites, h)
		})
	}
}

// repeated writes the last block of a configuration, which starts with begin,
// once for each host.
func repeated(text, begin string, edit func(host, block string) string) string {
	head, block, _ := strings.Cut(text, begin)
	for _, host := range siteHosts {
		head += edit(host, begin+block)
	}
	return head
}

// A request line may name another host than Host does. By which of them a
// gateway chooses its server, by that the request must be judged.
func TestAttackRequestLineHostThroughGateways(t *testing.T) {
	t.Parallel()
	idp, labIdp := newIssuer(t), newIssuer(t)
	lab := strings.Replace(labIdp.realm(""), "realms:\n", "", 1)
	lab = strings.NewReplacer("name: main", "name: lab", `hosts: ["*"]`, "hosts: [lab.example]").Replace(lab)
	eachGatewayOfSites(t, idp.realm("")+lab+siteRoutes, func(t *testing.T, sites map[string]*gateway, h *authhost) {
		h.awaitReady(t)
		nobody, inMain, inLab := []string(nil), bearer(idp.token(t, "editor", nil)), bearer(labIdp.token(t, "chemist", nil))
		nginx := sites["console.example"].name == "nginx"
		asked := func() (n []int64) {
			for _, host := range siteHosts {
				n = append(n, sites[host].asked.Load())
			}
			return n
		}

		// One host, named once or twice: its own routes, realm and application.
		for _, target := range []string{"/apps", "http://%s/apps", "http://%s:8088/apps"} {
			for _, want := range []struct {
				host, realm string
				header      []string
			}{{"console.example", "main", inMain}, {"public.example", "", nobody}, {"lab.example", "lab", inLab}} {
				target := target
				if strings.Contains(target, "%s") {
					target = fmt.Sprintf(target, strings.ToUpper(want.host))
				}
				before := asked()
				g := sites[want.host]
				r := g.received(t, g.ask(t, "GET", target, append([]string{"Host", want.host}, want.header...)...))
				before[slices.Index(siteHosts, want.host)]++
				if !strings.EqualFold(strings.TrimSuffix(r.Host, ":8088"), want.host) || r.identity()["Realm"] != want.realm || !slices.Equal(asked(), before) {
					t.Errorf("%s of %s arrived at %q in realm %q", target, want.host, r.Host, r.identity()["Realm"])
				}
			}
		}
		for _, host := range []string{"console.example", "lab.example"} {
			sites[host].refuses(t, http.StatusUnauthorized, "GET", "/apps", "Host", host)
		}

		for _, odd := range []struct {
			line, host string
			header     []string
			status     int // by the request line; nginx refuses
		}{
			{"console.example", "public.example", nobody, http.StatusUnauthorized},
			{"lab.example", "public.example:80", inMain, http.StatusUnauthorized},
			{"console.example", "lab.example", inLab, http.StatusUnauthorized},
			{"lab.example", "console.example", inMain, http.StatusUnauthorized},
			{"public.example", "console.example", nobody, http.StatusOK},
			{"console.example", "console.example.public.example", nobody, http.StatusUnauthorized},
			{"console.example", "public.console.example", nobody, http.StatusUnauthorized},
			{"console.example", "console-example", nobody, http.StatusUnauthorized},
			{"console.example:80", "public.example", nobody, http.StatusUnauthorized},
			{"console.example", "", nobody, http.StatusUnauthorized},
		} {
			status, header := odd.status, append([]string{"Host", odd.host}, odd.header...)
			if nginx {
				status = http.StatusBadRequest
			}
			before := asked()
			g := sites[strings.TrimSuffix(odd.line, ":80")]
			a := g.ask(t, "GET", "http://"+odd.line+"/apps", header...)
			if a.status != status {
				t.Errorf("%s with Host %q: got %s, want %d", odd.line, odd.host, a, status)
			}
			if status == http.StatusOK {
				if r := g.received(t, a); r.Host != odd.line {
					t.Errorf("%s with Host %q arrived for %q", odd.line, odd.host, r.Host)
				}
				before[slices.Index(siteHosts, odd.line)]++
			}
			if !slices.Equal(asked(), before) {
				t.Errorf("%s with Host %q: the applications %q were asked %v times, want %v", odd.line, odd.host, siteHosts, asked(), before)
			}

			// Nor is a session to be had of another host's realm.
			if !nginx {
				status = http.StatusUnauthorized
			}
			a = g.ask(t, "POST", "http://"+odd.line+"/v1/login", header...)
			if a.status != status || a.header.Get("Set-Cookie") != "" {
				t.Errorf("login at %s with Host %q: got %s, want %d", odd.line, odd.host, a, status)
			}
		}
	})
}

// However a host is written, it is the one that was judged that arrives.
func TestGatewayHostForms(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		for _, host := range []string{
			"console.example", "CONSOLE.Example", "console.example.", "console.example:8088", "Console.example.:80", "con_sole.example",
			"[::1]", "[::1]:8088", "[2001:DB8::1]:80", "127.0.0.1", "127.0.0.1:8088", "x",
		} {
			if r := g.passes(t, "POST", guarded, append([]string{"Host", host}, editor...)...); r.Host != host {
				t.Errorf("Host %q arrived as %q", host, r.Host)
			}
		}
		for _, host := range []string{"console.example:x", "console.example:80:80", ":80", "console..example", "console.example..", "[::1", "[::1]x", "a\tb"} {
			g.refuses(t, http.StatusBadRequest, "POST", guarded, append([]string{"Host", host}, editor...)...)
		}
		// HTTP/1.0 asks for no Host; the request line alone is not enough for nginx.
		status := http.StatusOK
		if g.name == "nginx" {
			status = http.StatusBadRequest
		}
		request := fmt.Sprintf("POST http://console.example%s HTTP/1.0\r\n%s: %s\r\n\r\n", guarded, editor[0], editor[1])
		if a := talk(t, g.dial(t), "POST", request).read(t); a.status != status {
			t.Errorf("HTTP/1.0 by its request line: got %s, want %d", a, status)
		}
	})
}

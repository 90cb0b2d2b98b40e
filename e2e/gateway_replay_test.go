package e2e

import (
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// judgement is what the README beside the recorded requests says of one.
type judgement struct{ method, path string } // both empty: refused

var judgementRow = regexp.MustCompile("(?m)^\\| ([a-z-]+\\.http) \\| .* \\| (?:([A-Z]+) `([^`]+)`|refused: 400) \\|$")

// recorded returns the requests that cannot be had from a real gateway here,
// with what is to become of each. Every file must be in the README and the
// other way round.
func recorded(t *testing.T) (map[string]string, map[string]judgement) {
	t.Helper()
	dir := filepath.Join(gatewayDocs, "testdata")
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	judged := map[string]judgement{}
	for _, m := range judgementRow.FindAllStringSubmatch(string(readme), -1) {
		judged[m[1]] = judgement{m[2], m[3]}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.http"))
	if err != nil {
		t.Fatal(err)
	}
	requests := map[string]string{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		requests[filepath.Base(file)] = string(content)
	}
	if got, want := slices.Sorted(maps.Keys(requests)), slices.Sorted(maps.Keys(judged)); !slices.Equal(got, want) || len(got) == 0 {
		t.Fatalf("the requests are %q, the README judges %q", got, want)
	}
	return requests, judged
}

func TestGatewayReplay(t *testing.T) {
	t.Parallel()
	requests, judged := recorded(t)
	idp := newIssuer(t)
	h := serve(t, listen+"trusted_proxies: [127.0.0.1, 10.0.0.5]\n"+idp.realm("")+gitops)
	h.awaitReady(t)
	users := map[string]int{"viewer": 1, "editor": 2, "admin": 3, "nobody": -1}
	sessions := map[string]string{"nobody": "ahs_none"}
	for user, rank := range users {
		if rank > 0 {
			sessions[user], _ = gatewayLogin(t, ask(t, "POST", h.public+"/v1/login", bearer(idp.token(t, user, nil))...))
		}
	}

	for name, request := range requests {
		t.Run(strings.TrimSuffix(name, ".http"), func(t *testing.T) {
			want, edge := judged[name], "forward-auth"
			if strings.HasPrefix(name, "envoy-") {
				edge = "ext-authz"
			}
			seen := len(h.decided(edge))
			for _, user := range slices.Sorted(maps.Keys(users)) {
				status := http.StatusOK
				switch {
				case want.method == "":
					status = http.StatusBadRequest
				case users[user] < 0:
					status = http.StatusUnauthorized
				case want.path == guarded && users[user] < 2:
					status = http.StatusForbidden
				}
				token := "none"
				if users[user] > 0 {
					token = idp.token(t, user, nil)
				}
				a := h.replay(t, request, token, sessions[user])
				if a.status != status {
					t.Errorf("%s: got %s, want %d", user, a, status)
				}
				for _, header := range identityHeaders {
					if n := len(a.header[header]); a.status == http.StatusOK && n != 1 {
						t.Errorf("%s: the answer has %s %d times", user, header, n)
					}
				}
				if got := a.header.Get("X-Auth-Request-User"); a.status == http.StatusOK && got != user {
					t.Errorf("%s is taken for %q", user, got)
				}

				var line map[string]any
				eventually(t, "the request's line in the log", func() bool {
					lines := h.decided(edge)
					if len(lines) > seen {
						line = lines[seen]
					}
					return line != nil
				})
				seen++
				if want.method != "" && (line["method"] != want.method || line["path"] != want.path || line["host"] != "console.example" ||
					line["client"] != "203.0.113.7") {
					t.Errorf("judged as %v, want %v", line, want)
				}
			}
		})
	}
}

// A cookie does not speak for another site, whichever gateway brings it.
func TestGatewayReplayFromAnotherSite(t *testing.T) {
	t.Parallel()
	requests, _ := recorded(t)
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+gitops)
	h.awaitReady(t)
	session, _ := gatewayLogin(t, ask(t, "POST", h.public+"/v1/login", bearer(idp.token(t, "editor", nil))...))
	for _, name := range []string{"traefik-cookie.http", "envoy-cookie.http"} {
		own := requests[name]
		foreign := regexp.MustCompile(`(?im)^sec-fetch-site: .*$`).ReplaceAllString(own, "Sec-Fetch-Site: cross-site")
		old := regexp.MustCompile(`(?im)^sec-fetch-site: .*\n`).ReplaceAllString(own, "")
		old = strings.Replace(old, "http://console.example", "http://elsewhere.example", 1)
		for request, status := range map[string]int{own: 200, foreign: 403, old: 403} {
			if a := h.replay(t, request, "", session); a.status != status {
				t.Errorf("%s: got %s, want %d", request, a, status)
			}
		}
	}
}

// decided returns the log lines of one edge's requests. A line may come after
// the answer.
func (h *authhost) decided(edge string) []map[string]any {
	return slices.DeleteFunc(h.logged("request"), func(line map[string]any) bool { return line["edge"] != edge })
}

// replay sends a recorded request as it stands, with token and session put in.
func (h *authhost) replay(t testing.TB, request, token, session string) answer {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(h.public, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	request = strings.NewReplacer("{{token}}", token, "{{session}}", session, "\n", "\r\n").Replace(request)
	method, _, _ := strings.Cut(request, " ")
	return talk(t, c, method, request).read(t)
}

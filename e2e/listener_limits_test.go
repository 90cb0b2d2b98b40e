package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// What every listener takes of a request: its headers up to 64 KiB, and a body
// that an endpoint reads. The rest of a body is not waited for: the answer
// comes, and the connection ends. Only the proxy passes on bodies of any length.
// A listener with this limit on headers is one of package edge, whose tests hold
// the timeouts.
func TestListenerLimits(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	app := newGatewayApp(t)
	secret := filepath.Join(t.TempDir(), "client")
	writeFile(t, secret, "client-secret\n")
	h := serveProxyTo(t, app.server.URL, idp.realm("")+gitops+fmt.Sprintf("introspection_clients: [{id: api, secret_file: %q, realm: main}]\n", secret))
	const client = "Authorization: Basic YXBpOmNsaWVudC1zZWNyZXQ=\r\nContent-Type: application/x-www-form-urlencoded\r\n" // api:client-secret
	editor := "Authorization: " + bearer(idp.token(t, "editor", nil))[1] + "\r\n"
	for _, c := range []struct {
		listener, url, method, path, header string
		status, long                        int // of a request without a body, and of one that is too long
	}{
		{"public", h.public, "POST", "/authz/forward-auth", "X-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: console.example\r\nX-Forwarded-Uri: /healthz\r\n", 200, 200},
		{"public", h.public, "POST", "/v1/introspect", client, 400, 400},
		{"public", h.public, "POST", "/nothing", "", 404, 404},
		{"admin", h.admin, "POST", "/v1/config/reload", "", 401, 401},
		{"telemetry", h.telemetry, "POST", "/healthz", "", 405, 405},
		{"proxy", h.proxy, "POST", "/api/gitops/sync", editor, 200, 0},
	} {
		t.Run(c.listener+c.path, func(t *testing.T) {
			t.Parallel()
			head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: console.example\r\n%s", c.method, c.path, c.header)
			for size, status := range map[int]int{60 << 10: c.status, 72 << 10: http.StatusRequestHeaderFieldsTooLarge} {
				request := head + "X-Long: " + strings.Repeat("x", size) + "\r\n\r\n"
				if a := talk(t, dial(t, c.url), c.method, request); a.StatusCode != status {
					t.Errorf("headers of %d bytes: %s, want %d", size, a.Status, status)
				}
			}
			if c.path == "/v1/introspect" {
				for size, status := range map[int]int{60 << 10: http.StatusOK, 65 << 10: http.StatusBadRequest} {
					form := "token=x&pad=" + strings.Repeat("x", size)
					request := fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(form), form)
					if a := talk(t, dial(t, c.url), c.method, request); a.StatusCode != status {
						t.Errorf("a form of %d bytes: %s, want %d", size, a.Status, status)
					}
				}
			}
			if c.long == 0 {
				return
			}
			for kind, framing := range map[string]string{"declared": "Content-Length: 1000000000000\r\n\r\n", "chunked": "Transfer-Encoding: chunked\r\n\r\n"} {
				status, taken := endless(t, dial(t, c.url), head+framing, kind == "chunked")
				if status != c.long || taken > mostTaken {
					t.Errorf("an endless body, %s: %d after %d bytes, want %d", kind, status, taken, c.long)
				}
			}
		})
	}
}

// mostTaken is more than the buffers of a connection hold, in bytes.
const mostTaken = 64 << 20

// endless sends a request whose body does not end by itself, for as long as it
// is taken, up to mostTaken and a bit, and returns the answer's status.
func endless(t testing.TB, c net.Conn, head string, chunked bool) (status, taken int) {
	t.Helper()
	sent := make(chan int, 1)
	go func() {
		part := "token=" + strings.Repeat("x", 64<<10)
		if chunked {
			part = fmt.Sprintf("%x\r\n%s\r\n", len(part), part)
		}
		_, err := io.WriteString(c, head)
		n := 0
		for err == nil && n <= mostTaken {
			var more int
			more, err = io.WriteString(c, part)
			n += more
		}
		sent <- n
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, <-sent
}

package daemon_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/daemon"
)

// Whatever is asked of the public listener is answered by an endpoint or by a
// problem, and recorded: no other spelling of an endpoint's path is led to it.
func TestPublicListenerLeadsNowhere(t *testing.T) {
	log := &lockedBuffer{}
	r := run(t, daemon.Options{ConfigFile: write(t, nowhere), Log: log})
	for target, status := range map[string]int{
		"//v1/login": 404, "/v1/../v1/login": 404, "/v1//me": 404, "/v1/login/": 404, "*": 404,
		"/v1/me/.": 400, "/v1/me/../login": 400, "/v1/login": 401, "/v1/%6cogin": 401,
	} {
		c, err := net.Dial("tcp", r.addr["public"])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: console.example\r\n\r\n", target)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != status || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s %s %v, want %d", target, res.Status, body, err, status)
		}
	}
	r.end(t)
	if n := strings.Count(log.String(), `"msg":"request"`); n != 9 {
		t.Errorf("%d requests are recorded, want 9: %s", n, log.String())
	}
}

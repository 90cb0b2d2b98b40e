package daemon_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host/daemon"
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

const patience = time.Minute // guards against a hang, asserts nothing

const nowhere = `
listen: {public: "127.0.0.1:0", admin: "127.0.0.1:0", telemetry: "127.0.0.1:0"}
cache: {driver: memory}
`

// write makes a configuration and returns its path. Compiled plugins stay in a
// folder of the test.
func write(t *testing.T, config string) string {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	file := filepath.Join(t.TempDir(), "authhost.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// running is a daemon under way.
type running struct {
	*daemon.Daemon
	addr  map[string]string
	stop  context.CancelFunc
	ended chan error
}

func run(t *testing.T, o daemon.Options) *running {
	t.Helper()
	listening := make(chan map[string]string, 1)
	o.Listening = func(addr map[string]string) { listening <- addr }
	d, err := daemon.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &running{Daemon: d, stop: stop, ended: make(chan error, 1)}
	go func() { r.ended <- d.Run(ctx) }()
	select {
	case r.addr = <-listening:
	case err := <-r.ended:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if r.ended != nil {
			r.end(t)
		}
	})
	return r
}

// end waits until the daemon has stopped.
func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	select {
	case err := <-r.ended:
		if err != nil {
			t.Error(err)
		}
		r.ended = nil
	case <-time.After(patience):
		t.Fatal("it does not stop")
	}
}

// A request under way when the daemon is told to stop is answered, and no
// other is taken.
func TestStopFinishesWhatIsUnderWay(t *testing.T) {
	arrived, answer := make(chan struct{}), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-answer
		io.WriteString(w, "whole")
	}))
	defer upstream.Close()
	r := run(t, daemon.Options{ConfigFile: write(t, strings.Replace(nowhere, "{public", `{proxy: "127.0.0.1:0", public`, 1)+
		"upstream: "+upstream.URL+"\nroutes: [{path: /**, authenticate: none}]\n")})

	got := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + r.addr["proxy"] + "/x")
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		got <- fmt.Sprint(string(body), " ", resp.Status, " ", err)
	}()
	<-arrived
	r.stop()
	for { // until nobody listens any more
		c, err := net.Dial("tcp", r.addr["proxy"])
		if err != nil {
			break
		}
		c.Close()
		time.Sleep(time.Millisecond)
	}
	select {
	case text := <-got:
		t.Fatalf("answered before the upstream: %s", text)
	default:
	}
	close(answer)
	if text := <-got; text != "whole 200 OK <nil>" {
		t.Error(text)
	}
	r.end(t)
}

func TestReloadWhenItCannotBeAnswered(t *testing.T) {
	file := write(t, nowhere)
	r := run(t, daemon.Options{ConfigFile: file})
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.end(t)
	if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("after its end: %v", err)
	}

	d, err := daemon.Open(t.Context(), daemon.Options{ConfigFile: file})
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Reload(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("before Run: %v", err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Every listener is opened by Options.Listen, and closed again when one of
// them fails.
func TestListen(t *testing.T) {
	var opened []net.Listener
	var asked []string
	o := daemon.Options{
		ConfigFile: write(t, strings.Replace(nowhere, `telemetry: "127.0.0.1:0"`, `telemetry: "127.0.0.1:1"`, 1)),
		Listen: func(addr string) (net.Listener, error) {
			if asked = append(asked, addr); len(asked) == 3 {
				return nil, errors.New("as told")
			}
			l, err := net.Listen("tcp", addr)
			opened = append(opened, l)
			return l, err
		},
	}
	d, err := daemon.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "authhost.yaml:2: listen.telemetry: as told") {
		t.Errorf("got %v", err)
	}
	if len(asked) != 3 || asked[2] != "127.0.0.1:1" {
		t.Errorf("asked for %v", asked)
	}
	for _, l := range opened {
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s is left open: %v", l.Addr(), err)
		}
	}
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A folder for compiled plugins that cannot be made is no reason not to serve.
func TestCompileCacheThatCannotBeWritten(t *testing.T) {
	file := write(t, nowhere)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(file, "below-a-file"))
	var log lockedBuffer
	d, err := daemon.Open(t.Context(), daemon.Options{ConfigFile: file, Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), `"msg":"compiled plugins are not kept"`) {
		t.Errorf("the log says %s", log.String())
	}
}

// An explanation begins with no key set and waits for it.
func TestExplainWaitsForKeys(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(100 * time.Millisecond)
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	}))
	defer idp.Close()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": idp.URL, "aud": "a", "sub": "ada", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	token.Header["kid"] = "k"
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, nowhere+"realms: [{issuers: [{issuer: "+`"`+idp.URL+`"`+", audiences: [a], jwks_url: \""+idp.URL+"/\"}]}]\nroutes: [{path: /**, default: allow}]\n")
	var out bytes.Buffer
	err = daemon.Explain(t.Context(), daemon.Options{ConfigFile: file}, daemon.Question{
		Method: "GET", Header: http.Header{"Authorization": {"Bearer " + signed}}, URL: "https://console.example/x",
	}, &out)
	if err != nil || !strings.HasSuffix(out.String(), "\ndecision: 200 default_allow\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

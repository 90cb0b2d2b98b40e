package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	benchRounds      = 5
	benchTime        = 2 * time.Second
	benchConnections = 16
	serverCore       = "0"
	clientCore       = "1"
)

// bareEnv tells the test binary to be the server that authhost is measured
// against: net/http with a handler that only sets a status and, if bareRedisEnv
// names a Redis, first does one GET.
const (
	bareEnv      = "AUTHHOST_E2E_BARE"
	bareRedisEnv = "AUTHHOST_E2E_BARE_REDIS"
	bareKey      = "some key"
)

// serveBare is that server.
func serveBare(addr string) error {
	handler := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	if from := os.Getenv(bareRedisEnv); from != "" {
		client := goredis.NewClient(&goredis.Options{Addr: from})
		handler = func(w http.ResponseWriter, r *http.Request) {
			if _, err := client.Get(r.Context(), bareKey).Bytes(); err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(http.StatusOK)
		}
	}
	return http.ListenAndServe(addr, http.HandlerFunc(handler))
}

// onCore makes a command that runs on one core alone.
func onCore(core, name string, args ...string) *exec.Cmd {
	cmd := exec.Command("taskset", append([]string{"-c", core, name}, args...)...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	return cmd
}

// BenchmarkForwardAuth measures whole forward-auth requests (a JWT that was
// seen before, both plugins on the route) beside a bare net/http handler, the
// server on one core and the client, which never sleeps, on the other. It
// prints the medians of requests a second and their ratio.
func BenchmarkForwardAuth(b *testing.B) {
	idp := newIssuer(b)
	h := benchAuthhost(b, idp.realm("")+gitops)
	request := forwarded("POST", "/api/gitops/sync", bearer(idp.token(b, "editor", nil))...)
	rates := race(b, request, contender{"bare", benchBare(b)}, contender{"authhost", h.public})
	b.ReportMetric(rates["authhost"]/rates["bare"], "ratio")
}

// BenchmarkSessionCheck measures a forward-auth request with a session that is
// kept in Redis, read through each time and from the near-cache, beside a bare
// handler that does one GET.
func BenchmarkSessionCheck(b *testing.B) {
	redis := benchRedis(b)
	idp := newIssuer(b)
	config := func(staleness string) string {
		return fmt.Sprintf("cache: {driver: redis, redis: {addrs: [%q]}, near: {max_staleness: %s}}\n", redis, staleness) + idp.realm("") +
			"routes: [{path: \"/**\", default: allow}]\n"
	}
	through, near := benchAuthhost(b, config("0s")), benchAuthhost(b, config("1s"))
	token := through.login(b, idp.token(b, "editor", nil)).token
	request := forwarded("GET", "/api/gitops", bearer(token)...)
	rates := race(b, request, contender{"bare", benchBare(b, bareRedisEnv+"="+redis)},
		contender{"read-through", through.public}, contender{"near", near.public})
	b.ReportMetric(rates["read-through"]/rates["bare"], "read-through-ratio")
	b.ReportMetric(rates["near"]/rates["bare"], "near-ratio")
}

// benchAuthhost runs authhost on the servers' core.
func benchAuthhost(b *testing.B, config string) *authhost {
	b.Helper()
	dir, public := b.TempDir(), freeAddr(b)
	file := filepath.Join(dir, "authhost.yaml")
	listen := fmt.Sprintf("listen: {public: %q, admin: %q, telemetry: %q}\n", public, freeAddr(b), freeAddr(b))
	writeFile(b, file, strings.ReplaceAll(listen+config, "PLUGINS", artifacts(b)))

	// The log goes to a file, as it does in service: a pipe to this process
	// would cost both of them.
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { log.Close() })
	cmd := onCore(serverCore, filepath.Join(artifacts(b), "authhost"), "serve", "--config", file)
	cmd.Stderr = log
	start(b, cmd)
	eventually(b, "authhost answering", func() bool { return reachable(public) })
	return &authhost{public: "http://" + public}
}

// benchRedis runs a Redis on the client's core and returns its address.
func benchRedis(b *testing.B) string {
	b.Helper()
	addr := freeAddr(b)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		b.Fatal(err)
	}
	start(b, onCore(clientCore, program(b, "redis-server"), "--port", port, "--bind", "127.0.0.1", "--dir", b.TempDir(), "--save", ""))
	client := goredis.NewClient(&goredis.Options{Addr: addr})
	defer client.Close()
	eventually(b, "redis answering", func() bool {
		return client.Set(b.Context(), bareKey, strings.Repeat("x", 300), 0).Err() == nil
	})
	return addr
}

// benchBare runs the bare server on the servers' core and returns its URL.
func benchBare(b *testing.B, env ...string) string {
	b.Helper()
	addr := freeAddr(b)
	cmd := onCore(serverCore, os.Args[0])
	cmd.Env = append(append(cmd.Env, bareEnv+"="+addr), env...)
	start(b, cmd)
	eventually(b, "bare server listening", func() bool { return reachable(addr) })
	return "http://" + addr
}

// contender is a server that takes part in a race.
type contender struct{ name, url string }

// race has each server answer one request again and again, in turns, reports
// and returns the medians of requests a second.
func race(b *testing.B, request []string, all ...contender) map[string]float64 {
	b.Helper()
	rates, medians := map[string][]float64{}, map[string]float64{}
	for _, c := range all {
		if a := get(b, c.url+"/authz/forward-auth", request...); a.status != http.StatusOK {
			b.Fatalf("the request that is measured is answered %s by %s", a, c.name)
		}
	}
	for range benchRounds {
		for _, c := range all {
			rates[c.name] = append(rates[c.name], load(b, strings.TrimPrefix(c.url, "http://"), "/authz/forward-auth", request))
		}
	}
	for b.Loop() { // the rounds above are the measurement
	}
	b.ReportMetric(0, "ns/op")
	for name, r := range rates {
		slices.Sort(r)
		medians[name] = r[benchRounds/2]
		b.ReportMetric(medians[name], name+"-req/s")
	}
	return medians
}

func reachable(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// load runs the client once and returns requests a second; anything but 200
// fails.
func load(b *testing.B, addr, path string, header []string) float64 {
	b.Helper()
	request := "GET " + path + " HTTP/1.1\r\nHost: " + addr + "\r\n"
	for i := 0; i < len(header); i += 2 {
		request += header[i] + ": " + header[i+1] + "\r\n"
	}
	client := onCore(clientCore, os.Args[0])
	client.Env = append(client.Env, clientEnv+"="+addr)
	client.Stdin = strings.NewReader(request + "\r\n")
	output, err := client.Output()
	if err != nil {
		b.Fatalf("client: %v: %s", err, output)
	}
	rate, err := strconv.ParseFloat(string(output), 64)
	if err != nil {
		b.Fatal(err)
	}
	return rate
}

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
)

const (
	benchRounds      = 5
	benchTime        = 2 * time.Second
	benchConnections = 16
	serverCore       = "0"
	clientCore       = "1"
)

// bareEnv tells the test binary to be the server that authhost is measured
// against: net/http with a handler that only sets a status.
const bareEnv = "AUTHHOST_E2E_BARE"

// serveBare is that server.
func serveBare(addr string) error {
	return http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
	}))
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
	dir := b.TempDir()
	config := filepath.Join(dir, "authhost.yaml")
	public := freeAddr(b)
	writeFile(b, config, strings.ReplaceAll(fmt.Sprintf("listen: {public: %q, admin: %q, telemetry: %q}\n", public, freeAddr(b), freeAddr(b))+idp.realm("")+gitops,
		"PLUGINS", artifacts(b)))

	// The log goes to a file, as it does in service: a pipe to this process
	// would cost both of them.
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	cmd := onCore(serverCore, filepath.Join(artifacts(b), "authhost"), "serve", "--config", config)
	cmd.Stderr = log
	start(b, cmd)
	h := &authhost{public: "http://" + public}
	eventually(b, "authhost answering", func() bool { return reachable(public) })

	bareAddr := freeAddr(b)
	bare := onCore(serverCore, os.Args[0])
	bare.Env = append(bare.Env, bareEnv+"="+bareAddr)
	start(b, bare)
	eventually(b, "bare server listening", func() bool { return reachable(bareAddr) })

	request := forwarded("POST", "/api/gitops/sync", bearer(idp.token(b, "editor", nil))...)
	if a := get(b, h.public+"/authz/forward-auth", request...); a.status != http.StatusOK {
		b.Fatalf("the request that is measured answers %s", a)
	}
	targets := map[string]string{"authhost": public, "bare": bareAddr}
	rates := map[string][]float64{}
	for range benchRounds {
		for _, name := range []string{"bare", "authhost"} {
			rates[name] = append(rates[name], load(b, targets[name], "/authz/forward-auth", request))
		}
	}
	for b.Loop() { // the rounds above are the measurement
	}
	for _, r := range rates {
		slices.Sort(r)
	}
	ours, theirs := rates["authhost"][benchRounds/2], rates["bare"][benchRounds/2]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ours, "authhost-req/s")
	b.ReportMetric(theirs, "bare-req/s")
	b.ReportMetric(ours/theirs, "ratio")
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

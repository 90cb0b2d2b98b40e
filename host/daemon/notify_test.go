package daemon_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/daemon"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// teller is a plugin that wants every end of access posted to a URL.
func teller(url string) []byte {
	const buffer, data = 1024, 40 << 10
	call := abi.AppendAnswer(nil, abi.Answer{Calls: []abi.Request{{Method: "POST", URL: url}}})
	return Module{MinPages: 1, Data: map[uint32]string{data: string(call)}, Imports: []Import{{Module: "authhost", Name: "fetch"}}, Funcs: []Func{
		{Export: abi.Marker},
		{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(buffer<<32 | 32<<10)},
		{Export: abi.OnLogout.String(), Params: []byte{I32}, Results: []byte{I64}, Body: Join(
			Const32(buffer), Const32(data), Const32(int32(len(call))), Op(0xfc, 0x0a, 0, 0), // memory.copy
			Const64(int64(len(call))<<32|int64(abi.CodeGoOn)))},
	}}.Encode()
}

// A receiver that took a message, and whose answer then breaks off or is too
// long, is not sent it again; one that did not take it is.
func TestDeliveryThatWasTaken(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		result string
	}{
		"broken off": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "too little")
		}, "delivered"},
		"too long":              {func(w http.ResponseWriter) { io.WriteString(w, strings.Repeat("x", 100<<10)) }, "delivered"},
		"refused, broken off":   {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "100"); w.WriteHeader(400) }, "failed"},
		"no answer, broken off": {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			var came atomic.Int64
			receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				came.Add(1)
				c.answer(w)
			}))
			defer receiver.Close()
			var log lockedBuffer
			r := loggedOut(t, &log, receiver.URL, "hosts: ['"+strings.TrimPrefix(receiver.URL, "http://")+"'], private: true")
			for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
				if messages(t, r, c.result) {
					break
				}
				if c.result == "delivered" && messages(t, r, "failed") || time.Now().After(end) {
					t.Fatalf("not %s; it came %d times; the log says %s", c.result, came.Load(), log.String())
				}
			}
			if n := came.Load(); c.result == "delivered" && n != 1 {
				t.Errorf("it came %d times", n)
			}
		})
	}
}

// A host that is told to stop does not wait for a plugin that has not taken up
// an end of access.
func TestStopCutsOnLogout(t *testing.T) {
	endless := Module{MinPages: 1, Data: map[uint32]string{8192: "told"}, Imports: []Import{{Module: "authhost", Name: "log", Params: []byte{I32, I32, I32}}}, Funcs: []Func{
		{Export: abi.Marker},
		{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(1024<<32 | 4096)},
		{Export: abi.OnLogout.String(), Params: []byte{I32}, Results: []byte{I64}, Body: Join(Const32(1), Const32(8192), Const32(4), Call(0), Forever(), Const64(0))},
	}}.Encode()
	var log lockedBuffer
	r := endsAccess(t, &log, endless, "limits: {time: 24h}")
	for end := time.Now().Add(patience); !strings.Contains(log.String(), `"text":"told"`); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not told")
		}
	}
	r.end(t)
}

// loggedOut runs a daemon in which a user's access ends, which is to be posted to
// a URL under that grant of http.
func loggedOut(t *testing.T, log io.Writer, url, grant string) *running {
	t.Helper()
	return endsAccess(t, log, teller(url), "capabilities: [{http: {"+grant+"}}]")
}

// endsAccess runs a daemon in which a user's access ends, with a plugin that is
// told of it and what else its entry says.
func endsAccess(t *testing.T, log io.Writer, module []byte, entry string) *running {
	t.Helper()
	file := write(t, nowhere+`
operator: {token_file: operator.tokens}
realms: [{name: main, plugins: [tell]}]
plugins: [{name: tell, module: tell.wasm, `+entry+`}]
`)
	token := strings.Repeat("operator", 5)
	for path, content := range map[string][]byte{"operator.tokens": []byte("ops " + token + "\n"), "tell.wasm": module} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(file), path), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, daemon.Options{ConfigFile: file, Log: log})
	req, err := http.NewRequest("POST", "http://"+r.addr["admin"]+"/v1/system/realms/main/users/"+host.UserID("main", "https://idp.example", "alice")+"/logout", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp.Status)
	}
	return r
}

// messages says whether something came of a message.
func messages(t *testing.T, r *running, result string) bool {
	t.Helper()
	return strings.Contains(metrics(t, r), fmt.Sprintf("authhost_logout_messages_total{plugin=\"tell\",result=%q} ", result))
}

// Without the grant for private networks no message is taken to an address in
// one, by literal or by name, though the host is granted.
func TestMessageToAPrivateAddress(t *testing.T) {
	for name, c := range map[string]struct {
		url, grant string // PORT stands for the receiver's
		dialled    bool
	}{
		"address":              {"https://127.0.0.1:PORT/", "hosts: ['127.0.0.1:PORT']", false},
		"address, as IPv6":     {"https://[::ffff:127.0.0.1]:PORT/", "hosts: ['127.0.0.1:PORT']", false},
		"name":                 {"https://localhost:PORT/", "hosts: ['localhost:PORT']", false},
		"without TLS":          {"http://127.0.0.1:PORT/", "hosts: ['127.0.0.1:PORT']", false},
		"private":              {"https://127.0.0.1:PORT/", "hosts: ['127.0.0.1:PORT'], private: true", true},
		"private, but another": {"https://127.0.0.1:PORT/", "hosts: ['hooks.example'], private: true", false},
	} {
		t.Run(name, func(t *testing.T) {
			receiver, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer receiver.Close()
			var came atomic.Int64
			go func() {
				for {
					conn, err := receiver.Accept()
					if err != nil {
						return
					}
					came.Add(1)
					conn.Close()
				}
			}()
			_, port, _ := net.SplitHostPort(receiver.Addr().String())
			at := strings.NewReplacer("PORT", port)
			var log lockedBuffer
			r := loggedOut(t, &log, at.Replace(c.url), at.Replace(c.grant))
			for end := time.Now().Add(patience); !strings.Contains(log.String(), `"msg":"a message was not delivered"`); time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("it was not tried; the log says %s", log.String())
				}
			}
			if n := came.Load(); (n > 0) != c.dialled || strings.Contains(log.String(), `"reason":"refused"`) == c.dialled {
				t.Errorf("%d came; the log says %s", n, log.String())
			}
			if messages(t, r, "delivered") {
				t.Error("it was delivered")
			}
		})
	}
}

func metrics(t *testing.T, r *running) string {
	t.Helper()
	resp, err := http.Get("http://" + r.addr["telemetry"] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

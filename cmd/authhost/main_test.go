package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
	"github.com/golang-jwt/jwt/v5"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"authhost": main})
}

// The scripts find modules in $WORK, tokens signed with $WORK/secret in
// $VIEWER, $EDITOR and $EXPIRED, and in busy.yaml an address that is taken.
// "exits N command…" runs a command and wants that exit code; "lastline STATUS
// REASON" wants that decision in the last line of its standard output, REASON
// being a regular expression. $BARE is a PATH on which nothing but authhost is.
func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "lastline": lastline},
	})
}

const secret = "a secret of thirty-two bytes ok."

func setup(env *testscript.Env) error {
	env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, ".cache"))
	// Where authhost is, and nothing else.
	env.Setenv("BARE", filepath.SplitList(env.Getenv("PATH"))[0])
	env.Setenv("GORACE", "atexit_sleep_ms=0") // else each command takes a second more
	for user, life := range map[string]time.Duration{"VIEWER": time.Hour, "EDITOR": time.Hour, "EXPIRED": -time.Hour} {
		now := time.Now()
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
			"iss": "lab", "aud": "console", "sub": user, "roles": []string{user}, "iat": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(life).Unix(),
		}).SignedString([]byte(secret))
		if err != nil {
			return err
		}
		env.Setenv(user, token)
	}
	busy := "listen: {public: \"127.0.0.1:0\", admin: \"ADDR\", telemetry: \"127.0.0.1:0\"}\ncache: {driver: memory}\n"
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	env.Defer(func() { taken.Close() })
	all := files()
	all["busy.yaml"] = []byte(strings.Replace(busy, "ADDR", taken.Addr().String(), 1))
	for name, content := range all {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// files are what a script cannot hold as text.
func files() map[string][]byte {
	const buffer, text = 1024, 40 << 10
	yes, no := Const64(int64(abi.CodeYes)), abi.AppendAnswer(nil, abi.Answer{Code: abi.CodeNo, Reason: "not today"})
	deny := Join(Const32(buffer), Const32(text), Const32(int32(len(no))), Op(0xfc, 0x0a, 0, 0), Const64(int64(len(no))<<32|int64(abi.CodeNo)))
	plugin := func(authorize, configure []byte) Module {
		hook := func(h abi.Hook, body []byte) Func {
			return Func{Export: h.String(), Params: []byte{I32}, Results: []byte{I64}, Body: body}
		}
		return Module{MinPages: 1, Data: map[uint32]string{text: string(no)}, Funcs: []Func{
			{Export: abi.Marker},
			{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(buffer<<32 | 32<<10)},
			hook(abi.OnAuthorize, authorize), hook(abi.Configure, configure),
		}}
	}
	ok := Const64(int64(abi.CodeGoOn))
	good := plugin(yes, ok).Encode()
	stranger := plugin(yes, ok)
	stranger.Imports = []Import{{Module: "env", Name: "system"}}
	fetch := plugin(yes, ok)
	fetch.Imports = []Import{{Module: abi.ImportModule, Name: abi.ImportFetch}}
	return map[string][]byte{
		"secret":         []byte(secret),
		"allow.wasm":     good,
		"deny.wasm":      plugin(deny, ok).Encode(),
		"trap.wasm":      plugin(Op(Unreachable), ok).Encode(),
		"refuse.wasm":    plugin(yes, deny).Encode(),
		"burst.wasm":     plugin(yes, Op(Unreachable)).Encode(),
		"truncated.wasm": good[:len(good)/2],
		"empty.wasm":     nil,
		"bare.wasm":      Module{MinPages: 1}.Encode(),
		"import.wasm":    stranger.Encode(),
		"fetch.wasm":     fetch.Encode(),
	}
}

func lastline(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lastline STATUS REASON")
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stdout"), "\n"), "\n")
	want := regexp.MustCompile("^decision: " + args[0] + " " + args[1] + "$")
	if last := lines[len(lines)-1]; !want.MatchString(last) {
		ts.Fatalf("the last line is %q, want %s", last, want)
	}
}

// exits runs a command and wants an exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if neg || len(args) < 2 || err != nil {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

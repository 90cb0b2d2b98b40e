package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

const (
	guestBuffer = 1024
	guestAnswer = 40 << 10
)

// guest is a hand-made module whose on_authorize has that body.
func guest(body []byte, more ...Func) Module { return hooked(abi.OnAuthorize, body, more...) }

// hooked is a hand-made module whose one hook has that body.
func hooked(hook abi.Hook, body []byte, more ...Func) Module {
	return Module{MinPages: 1, Funcs: append([]Func{
		{Export: abi.Marker},
		{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(guestBuffer<<32 | 32<<10)},
		{Export: hook.String(), Params: []byte{I32}, Results: []byte{I64}, Body: body},
	}, more...)}
}

// answering is a hand-made module whose one hook always answers that.
func answering(hook abi.Hook, a abi.Answer) Module {
	answer := abi.AppendAnswer(nil, a)
	m := hooked(hook, Join(
		Const32(guestBuffer), Const32(guestAnswer), Const32(int32(len(answer))), Op(0xfc, 0x0a, 0, 0), // memory.copy
		Const64(int64(len(answer))<<32|int64(a.Code)),
	))
	m.Data = map[uint32]string{guestAnswer: string(answer)}
	return m
}

// denying is a module that denies everything for that reason.
func denying(reason string) []byte {
	return answering(abi.OnAuthorize, abi.Answer{Code: abi.CodeNo, Reason: reason}).Encode()
}

// longFrame is how long a frame is, in bytes, that denyingLong tells from the
// others: that of a request with a longer path.
const longFrame = 2000

// denyingLong is a module that denies everything for that reason, and what
// comes in a long frame for another.
func denyingLong(reason, longs string) []byte {
	data := ""
	deny := func(reason string) []byte {
		answer := abi.AppendAnswer(nil, abi.Answer{Code: abi.CodeNo, Reason: reason})
		at := guestAnswer + len(data)
		data += string(answer)
		return Join(
			Const32(guestBuffer), Const32(int32(at)), Const32(int32(len(answer))), Op(0xfc, 0x0a, 0, 0), // memory.copy
			Const64(int64(len(answer))<<32|int64(abi.CodeNo)), Op(0x0f), // return
		)
	}
	// if frame_len > longFrame
	m := guest(Join(Local(0), Const32(longFrame), Op(0x4b, 0x04, 0x40), deny(longs), Op(0x0b), deny(reason)))
	m.Data = map[uint32]string{guestAnswer: data}
	return m.Encode()
}

// keeping is a module that counts, looks at a key and allows everything.
func keeping() []byte {
	text := func(n int) []byte { return Join(Const32(guestAnswer), Const32(int32(n))) }
	m := guest(Join(text(4), Const32(guestAnswer), Const32(0), Call(1), Op(Drop), Const64(int64(abi.CodeYes))),
		Func{Export: "_initialize", Body: Join(text(4), Const64(0), Call(0))})
	m.Imports = []Import{
		{Module: abi.ImportModule, Name: abi.ImportMetric, Params: []byte{I32, I32, I64}},
		{Module: abi.ImportModule, Name: abi.ImportKVGet, Params: []byte{I32, I32, I32, I32}, Results: []byte{I32}},
	}
	m.Data = map[uint32]string{guestAnswer: "kept"}
	return m.Encode()
}

// ofAnotherABI is a plugin that speaks a version of the ABI to come.
func ofAnotherABI() []byte {
	return Module{MinPages: 1, Funcs: []Func{{Export: abi.MarkerPrefix + "v2"}}}.Encode()
}

// allowing is a module that allows everything.
func allowing() []byte { return guest(Const64(int64(abi.CodeYes))).Encode() }

// withoutExports is a valid module that is no plugin.
func withoutExports() []byte { return Module{MinPages: 1}.Encode() }

// trappingInConfigure is a plugin whose configure ends in a trap.
func trappingInConfigure() []byte {
	return guest(Const64(int64(abi.CodeYes)),
		Func{Export: abi.Configure.String(), Params: []byte{I32}, Results: []byte{I64}, Body: Op(Unreachable)}).Encode()
}

// invalid is a module whose one hook drops what is not there.
func invalid() []byte { return guest(Op(Drop)).Encode() }

// trappingInInit is a plugin whose _initialize ends in a trap.
func trappingInInit() []byte {
	return guest(Const64(int64(abi.CodeYes)), Func{Export: "_initialize", Body: Op(Unreachable)}).Encode()
}

// startingOnce is a plugin of which one instance starts and no other does.
func startingOnce() []byte { return StartsOnce(guest(Const64(int64(abi.CodeYes)))).Encode() }

// growing is a module that takes memory for as long as it is given any, and
// then goes on asking.
func growing() []byte {
	return guest(Join(Forever(Const32(16), Op(0x40, 0, Drop)), Const64(int64(abi.CodeYes)))).Encode()
}

// asking is a module that has something fetched and is never content.
func asking() []byte {
	return fetching(answering(abi.OnAuthorize, abi.Answer{Code: abi.CodeFetch, Request: &abi.Request{Method: "GET", URL: "https://nobody.invalid/"}}))
}

// telling is a module that posts every end of access to a URL.
func telling(url string) []byte {
	return fetching(answering(abi.OnLogout, abi.Answer{Code: abi.CodeGoOn, Calls: []abi.Request{{Method: "POST", URL: url}}}))
}

// fetching is a module that declares that it has requests sent.
func fetching(m Module) []byte {
	m.Imports = []Import{{Module: abi.ImportModule, Name: abi.ImportFetch}}
	return m.Encode()
}

// check runs authhost check and returns what it said and its exit code.
func check(t testing.TB, file string) (output string, code int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(artifacts(t), "authhost"), "check", "--config", file)
	cmd.Env = environ(t)
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// refusedBy asserts that authhost check refuses the file and says all of this.
func refusedBy(t testing.TB, file string, want ...string) {
	t.Helper()
	output, code := check(t, file)
	for _, w := range want {
		if code != 1 || !strings.Contains(output, w) {
			t.Errorf("check: exit %d, want 1 and %q in\n%s", code, w, output)
		}
	}
}

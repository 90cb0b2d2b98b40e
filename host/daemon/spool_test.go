package daemon

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// slowLog is a log's writer that can be made to block.
type slowLog struct {
	blocked sync.Mutex // held: writes wait
	mu      sync.Mutex
	text    bytes.Buffer
}

func (s *slowLog) Write(p []byte) (int, error) {
	s.blocked.Lock()
	defer s.blocked.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *slowLog) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}

// A call whose plugin logs does not wait for whoever writes the log.
func TestGuestDoesNotWaitForTheLog(t *testing.T) {
	const line, at = "asked by somebody", 40 << 10
	logging := Module{MinPages: 1, Data: map[uint32]string{at: line},
		Imports: []Import{{Module: abi.ImportModule, Name: "log", Params: []byte{I32, I32, I32}}},
		Funcs: []Func{
			{Export: abi.Marker},
			{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(1024<<32 | 4096)},
			{Export: abi.OnAuthorize.String(), Params: []byte{I32}, Results: []byte{I64},
				Body: Join(Const32(1), Const32(at), Const32(int32(len(line))), Call(0), Const64(int64(abi.CodeYes)))},
		}}
	var log slowLog
	d, _ := openLogged(t, &log, "cache: {driver: memory}\nplugins: [{name: gate, module: a.wasm}]\n", map[string]string{"a.wasm": string(logging.Encode())})
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { d.lines.Run(ctx) })
	for n := "early"; ; n += "y" { // until a line is not handed on at once
		d.log.Info(n)
		if !log.has(`"` + n + `"`) {
			break
		}
	}
	log.blocked.Lock()
	o, err := d.current.plugins["gate"].Version.Host().Authorizer.Authorize(ctx, &host.Call{Request: &host.Request{Method: "GET", Path: "/"}})
	if err != nil || o.Effect != host.Allow || log.has(line) {
		t.Errorf("%v, %v; the line is written: %t", o, err, log.has(line))
	}
	log.blocked.Unlock()
	stop()
	run.Wait()
	if !log.has(line) {
		t.Error("the line was lost")
	}
}

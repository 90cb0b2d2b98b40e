package plugin_test

import (
	"encoding/binary"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

func TestAttackPlugin_host_calls(t *testing.T) { withstands(t, callAttacks()) }

var writeImport = Import{Module: "wasi_snapshot_preview1", Name: "fd_write", Params: []byte{I32, I32, I32, I32}, Results: []byte{I32}}

// callAttacks misuse what the host offers.
func callAttacks() []attack {
	get := func(kind abi.Kind, name, length, index, room, capacity int32) []byte {
		return Join(Const32(int32(kind)), Const32(name), Const32(length), Const32(index), Const32(room), Const32(capacity), Call(0), Op(Drop))
	}
	calls := func(name string, i Import, body []byte, cause string) attack {
		return attack{name: name, imports: []Import{i}, body: body, cause: cause}
	}
	const end, beyond = pages << 16, "not within memory"
	// As many items as fit in memory, without a byte to write in them.
	lists := Join(Const32(1), Const32(0), Const32(end/8), Const32(0), Call(0), Op(Drop))
	polls := Join(Const32(0), Const32(0), Const32(end/48), Const32(0), Call(0), Op(Drop))
	return []attack{
		calls("flood_of_get", getImport, Forever(get(abi.GetHeader, 0, 4, 0, 0, 0)), fuelUsed),
		calls("flood_of_get_of_long_names", getImport, Forever(get(abi.GetHeader, 0, 1024, 0, 0, 0)), fuelUsed),
		calls("flood_of_get_of_everything", getImport, Forever(get(abi.GetField, 0, 0, int32(abi.FieldQuery), dataAt, end-dataAt)), fuelUsed),
		calls("flood_of_log", logImport, Forever(Const32(1), Const32(0), Const32(100), Call(0)), fuelUsed),
		calls("flood_of_random_bytes", randomImport, Forever(Const32(0), Const32(end), Call(0), Op(Drop)), fuelUsed),
		calls("flood_of_fd_write_of_nothing", writeImport, Forever(lists), fuelUsed),
		calls("flood_of_poll_oneoff", pollImport, Forever(polls), fuelUsed),

		calls("get_name_out_of_range", getImport, get(abi.GetHeader, end, 1, 0, 0, 0), beyond),
		calls("get_name_below_0", getImport, get(abi.GetHeader, math.MinInt32, 1, 0, 0, 0), beyond),
		calls("get_name_beyond_32_bits", getImport, get(abi.GetHeader, -16, 32, 0, 0, 0), beyond),
		calls("get_name_of_4_GiB", getImport, get(abi.GetHeader, 0, -1, 0, 0, 0), beyond),
		calls("get_room_out_of_range", getImport, get(abi.GetHeader, 0, 1, 0, end-1, 2), beyond),
		calls("get_room_beyond_32_bits", getImport, get(abi.GetHeader, 0, 1, 0, -1, 2), beyond),
		calls("get_room_of_4_GiB", getImport, get(abi.GetHeader, 0, 1, -1, 0, -1), beyond),
		calls("log_out_of_range", logImport, Join(Const32(1), Const32(end), Const32(1), Call(0)), beyond),
		calls("log_beyond_32_bits", logImport, Join(Const32(1), Const32(-1), Const32(-1), Call(0)), beyond),
	}
}

// What a client sends more of costs the guest that looks through it more: its
// fuel ends long before the calls of host functions are counted out.
func TestAttackPlugin_flood_of_get_of_what_is_long(t *testing.T) {
	c := cue()
	c.Request.Header["Cookie"] = []string{strings.Repeat("a=b; ", 10_000)}
	c.Query = strings.Repeat("a=b&", 5_000)
	c.Identity.Claims = map[string]any{"": strings.Split(strings.Repeat("role ", 5_000), " ")}
	for kind, name := range map[abi.Kind]string{abi.GetCookie: "none", abi.GetQuery: "none", abi.GetClaim: ""} {
		a := attack{imports: []Import{getImport}, body: Forever(
			Const32(int32(kind)), Const32(dataAt), Const32(int32(len(name))), Const32(0), Const32(0), Const32(0), Call(0), Op(Drop),
			Const32(0), Const32(0), Op(0x28, 2, 0), Const32(1), Op(I32Add, 0x36, 2, 0), // counts
			Const32(0), Op(0x28, 2, 0), Const32(20_000), Op(0x4f, 0x04, 0x40, Unreachable, 0x0b)), cause: fuelUsed}
		m := a.module()
		m.Data = map[uint32]string{dataAt: name}
		p := load(t, plugin.Options{Module: m.Encode(), Limits: plugin.Limits{Time: plugin.DefaultTime / 10}})
		_, err := p.Authorize(t.Context(), c)
		fails(t, err, a.cause)
		allows(t, p)
	}
}

// Short lines cost a guest that prints them by the line: what the host does for
// each is more than their bytes say.
func TestAttackPlugin_flood_of_short_lines(t *testing.T) {
	const limit, most = plugin.DefaultTime / 10, int64(plugin.DefaultTime/10) * plugin.UnitsPerNanosecond / 500
	m := base(writeImport)
	text := strings.Repeat("a\n", 8<<10)
	m.Data = map[uint32]string{0: string(binary.LittleEndian.AppendUint64(nil, uint64(len(text))<<32|dataAt)), dataAt: text}
	var lines atomic.Int64 // the limit on the log asks the time for each
	_, logger := newLogs()
	p := load(t, plugin.Options{
		Module: hook(m, "on_authorize", Forever(Const32(1), Const32(0), Const32(1), Const32(512), Call(0), Op(Drop))).Encode(),
		Limits: plugin.Limits{Time: limit}, Logger: logger, Now: func() time.Time { lines.Add(1); return time.Unix(1_800_000_000, 0) },
	})
	_, err := p.Authorize(t.Context(), call())
	fails(t, err, fuelUsed)
	if n := lines.Load(); n > most+100 {
		t.Errorf("%d lines were looked at, %d are paid for", n, most)
	}
}

// A sleep returns at once.
func TestSleep(t *testing.T) {
	m := base(pollImport)
	m.Data = map[uint32]string{dataAt + 24: "\x00\x00\x00\x00\x00\x01\x00\x00"} // a timeout of 305 hours
	body := Join(Const32(dataAt), Const32(dataAt+64), Const32(1), Const32(dataAt+128), Call(0), Op(0x04, 0x40, Unreachable, 0x0b))
	allows(t, load(t, plugin.Options{Module: hook(m, "on_authorize", body).Encode(), Limits: plugin.Limits{Time: time.Second}}))
}

// Functions of WASI that are handed a list say so when it is not within memory,
// however its length overflows, and write what they should when it is.
func TestAttackPlugin_lists_of_WASI(t *testing.T) {
	const ok, badFile, fault, invalid = 0, 8, 21, 28
	write := func(fd, at, n, written int32) []byte {
		return Join(Const32(fd), Const32(at), Const32(n), Const32(written), Call(0))
	}
	poll := func(in, out, n, events int32) []byte {
		return Join(Const32(in), Const32(out), Const32(n), Const32(events), Call(1))
	}
	const end = pages << 16
	read := writeImport
	read.Name = "fd_read"
	m := base(writeImport, pollImport, read)
	m.Data = map[uint32]string{dataAt: "\xff\xff\xff\xff\x02\x00\x00\x00"} // a text that ends beyond 32 bits
	var body []byte
	for n, c := range []struct {
		call []byte
		want int32
	}{
		{write(1, 0, 0, 0), ok}, {write(0, 0, 0, 0), badFile}, {write(3, 0, 0, 0), badFile}, {write(-1, 0, 0, 0), badFile},
		{write(1, 0, -1, 0), fault}, {write(1, 0, 1<<29, 0), fault}, {write(1, 0, 1<<29+1, 0), fault}, {write(2, -8, 1, 0), fault},
		{write(1, end-4, 1, 0), fault}, {write(1, dataAt, 1, 0), fault}, {write(1, 0, 0, end-3), fault}, {write(1, 0, 0, -1), fault},
		{poll(0, 0, 0, 0), invalid}, {poll(0, 0, -1, 0), fault}, {poll(0, 0, 1<<28, 0), fault}, {poll(0, -32, 1, 0), fault},
		{poll(-48, 0, 1, 0), fault}, {poll(end-47, 0, 1, 0), fault}, {poll(0, end-31, 1, 0), fault}, {poll(0, 0, 1, end), fault},
		{poll(512, 600, 2, 700), ok},
		{Join(Const32(0), Const32(-1), Const32(-1), Const32(0), Call(2)), ok}, {Join(Const32(0), Const32(0), Const32(0), Const32(-2), Call(2)), fault},
		{Join(Const32(1), Const32(0), Const32(0), Const32(0), Call(2)), badFile},
	} {
		// Denies with the number of the case as its status, which is then in the error.
		body = Join(body, c.call, Const32(c.want), Op(0x47, 0x04, 0x40), result(abi.Code(100+n), 0), Op(0x0b))
	}
	allows(t, load(t, plugin.Options{Module: hook(m, "on_authorize", body).Encode(), Limits: plugin.Limits{Time: time.Second}}))
}

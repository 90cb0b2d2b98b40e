package plugin_test

import (
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// lines returns the log's records of one message.
func (l *logs) lines(t *testing.T, msg string) []map[string]any {
	t.Helper()
	var list []map[string]any
	for line := range strings.Lines(l.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("a log line that is not JSON: %q", line)
		}
		if m["msg"] == msg {
			list = append(list, m)
		}
	}
	return list
}

// logging returns a guest that logs text n times at that level in each call.
func logging(level int32, text string, n int) []byte {
	m := base(logImport)
	m.Data = map[uint32]string{dataAt: text}
	var body []byte
	for range n {
		body = Join(body, Const32(level), Const32(dataAt), Const32(int32(len(text))), Call(0))
	}
	return hook(m, "on_authorize", body).Encode()
}

func TestLog(t *testing.T) {
	log, logger := newLogs()
	for level := range int32(5) {
		allows(t, load(t, plugin.Options{Module: logging(level, "line \x1b[31m\n\xff end", 1), Logger: logger}))
	}
	allows(t, load(t, plugin.Options{Module: logging(0, strings.Repeat("x", 5000), 1), Logger: logger}))
	got := log.lines(t, "plugin says")
	if len(got) != 6 {
		t.Fatalf("%d lines:\n%s", len(got), log)
	}
	for i, want := range []string{"DEBUG", "INFO", "WARN", "ERROR", "ERROR"} {
		if l := got[i]; l["level"] != want || l["plugin"] != "guest" || l["text"] != "line \x1b[31m\n\uFFFD end" {
			t.Errorf("level %d was logged as %v", i, l)
		}
	}
	if n := len(got[5]["text"].(string)); n != 1024 {
		t.Errorf("a line of %d bytes", n)
	}
	if raw := log.String(); strings.Contains(raw, "\x1b") || strings.Count(raw, "\n") != 6 {
		t.Errorf("control characters reach the log: %q", raw)
	}
}

// Past a hundred lines a second the rest is counted, and said once.
func TestAttackPlugin_flood_of_lines(t *testing.T) {
	log, logger := newLogs()
	var now atomic.Int64
	p := load(t, plugin.Options{Module: logging(1, "x", 50), Logger: logger,
		Now: func() time.Time { return time.Unix(1_800_000_000, now.Load()) }})
	for range 10 { // 500 lines at one moment
		allows(t, p)
	}
	if n := len(log.lines(t, "plugin says")); n != 100 {
		t.Errorf("%d lines, want 100", n)
	}
	now.Add(int64(300 * time.Millisecond)) // room for 30
	allows(t, p)
	dropped := log.lines(t, "plugin log lines dropped")
	if n := len(log.lines(t, "plugin says")); n != 130 || len(dropped) != 1 || dropped[0]["lines"] != 400.0 || dropped[0]["plugin"] != "guest" {
		t.Errorf("%d lines, and of dropped ones: %v", n, dropped)
	}
}

// Standard output and error are log lines, whole ones.
func TestStandardOutput(t *testing.T) {
	write := Import{Module: "wasi_snapshot_preview1", Name: "fd_write", Params: []byte{I32, I32, I32, I32}, Results: []byte{I32}}
	m := base(write)
	text := "one\n\ntwo\r\nthree"
	m.Data = map[uint32]string{
		dataAt:       "\x20\xa0\x00\x00" + string(rune(len(text))) + "\x00\x00\x00", // dataAt+32 and the length
		dataAt + 32:  text,
		dataAt + 256: "",
	}
	print := func(fd int32) []byte {
		return Join(Const32(fd), Const32(dataAt), Const32(1), Const32(dataAt+16), Call(0), Op(Drop))
	}
	log, logger := newLogs()
	p := load(t, plugin.Options{Module: hook(m, "on_authorize", print(1), print(2), print(1)).Encode(), Logger: logger})
	allows(t, p)
	var got []string
	for _, l := range log.lines(t, "plugin says") {
		got = append(got, l["level"].(string)+" "+l["text"].(string))
	}
	// What is left of a line when the call ends is one too.
	if want := "INFO one|INFO two\r|WARN one|WARN two\r|INFO threeone|INFO two\r|INFO three|WARN three"; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A plugin that may see credentials can say them; the log does not.
func TestAttackPlugin_says_a_credential(t *testing.T) {
	const blank = "(holds a credential)"
	token := "eyJ" + strings.Repeat("sEcReT.", 200) // more than a line
	short := token[:300]
	for name, tc := range map[string]struct {
		secret string
		lines  []string
		want   []string
	}{
		"whole":              {short, []string{"got " + short + " from you\n", "fine\n"}, []string{blank, "fine"}},
		"in pieces":          {short, []string{"got " + short[:100], short[100:] + " from you\nfine"}, []string{blank, "fine"}},
		"longer than a line": {token, []string{token + "\n"}, []string{blank}},
		"cut in the middle":  {short, []string{strings.Repeat("x", 1000) + short + "\n"}, []string{blank}},
		"cut before it":      {short, []string{strings.Repeat("x", 1024) + short + "\n"}, []string{strings.Repeat("x", 1024)}},
		"not to its end":     {short, []string{"got " + short[:100]}, []string{blank}},
		"its first bytes":    {short, []string{"got eyJ"}, []string{"got eyJ"}},
		"another":            {short, []string{"got eyJother"}, []string{"got eyJother"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := call()
			c.Found = []host.Credential{{Source: host.FromCookie, Name: "empty"}, {Source: host.FromHeader, Name: "Authorization", Kind: host.JWT, Value: tc.secret}}
			for way, module := range map[string][]byte{"standard output": printing(tc.lines...), "log": sayingAll(tc.lines...)} {
				if way == "log" && name == "in pieces" {
					continue // each call of log is a line
				}
				log, logger := newLogs()
				p := load(t, plugin.Options{Module: module, Logger: logger, Credentials: true})
				if _, err := p.Authorize(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, l := range log.lines(t, "plugin says") {
					got = append(got, l["text"].(string))
				}
				if !slices.Equal(got, tc.want) {
					t.Errorf("%s: got %q, want %q", way, got, tc.want)
				}
			}
		})
	}
}

// sayingAll returns a guest that logs each text, without the end of its line.
func sayingAll(texts ...string) []byte {
	m := base(logImport)
	m.Data = map[uint32]string{}
	var body []byte
	at := uint32(dataAt)
	for _, text := range texts {
		text = strings.TrimSuffix(text, "\n")
		m.Data[at] = text
		body = Join(body, Const32(1), Const32(int32(at)), Const32(int32(len(text))), Call(0))
		at += 2048
	}
	return hook(m, "on_authorize", body).Encode()
}

// printing returns a guest that writes each text to standard output.
func printing(texts ...string) []byte {
	m := base(Import{Module: "wasi_snapshot_preview1", Name: "fd_write", Params: []byte{I32, I32, I32, I32}, Results: []byte{I32}})
	m.Data = map[uint32]string{}
	var body []byte
	at := uint32(dataAt)
	for _, text := range texts {
		vector := binary.LittleEndian.AppendUint32(nil, at+16)
		m.Data[at] = string(binary.LittleEndian.AppendUint32(vector, uint32(len(text)))) + strings.Repeat("\x00", 8) + text
		body = Join(body, Const32(1), Const32(int32(at)), Const32(1), Const32(int32(at+8)), Call(0), Op(Drop))
		at += 2048
	}
	return hook(m, "on_authorize", body).Encode()
}

// Without a logger, and with one that wants nothing, guests may still log.
func TestNoLogger(t *testing.T) {
	allows(t, load(t, plugin.Options{Module: logging(3, "x", 3)}))
	allows(t, load(t, plugin.Options{Module: logging(3, "x", 3), Logger: slog.New(slog.DiscardHandler)}))
}

package plugin

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// SaidText is the key of the log's attribute that holds a guest's own words.
const SaidText = "text"

const (
	maxLine       = 1024 // bytes
	linesInSecond = 100  // of one plugin, unless Options.Lines says otherwise
)

// limiter is a token bucket for the log lines of one plugin.
type limiter struct {
	most float64 // in a second; also at once

	mu      sync.Mutex
	filled  time.Time
	tokens  float64
	dropped int
}

// take says whether a line may be written now, and how many were dropped
// since the last one that was.
func (l *limiter) take(now time.Time) (dropped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.filled.IsZero() {
		l.tokens = l.most
	} else if gone := now.Sub(l.filled); gone > 0 {
		l.tokens = min(l.most, l.tokens+gone.Seconds()*l.most)
	}
	l.filled = now
	if l.tokens < 1 {
		l.dropped++
		return 0, false
	}
	l.tokens--
	dropped, l.dropped = l.dropped, 0
	return dropped, true
}

// say writes a line about the plugin to the host's log, unless limit says that
// there were too many. What a guest writes and what the host says of it are
// limited apart, so that a guest cannot hide its failures.
func (p *Plugin) say(limit *limiter, level slog.Level, msg string, attrs ...slog.Attr) {
	if p.may(limit, level) {
		p.write(level, msg, attrs...)
	}
}

// may says whether a line of that level is to be written now.
func (p *Plugin) may(limit *limiter, level slog.Level) bool {
	if !p.opts.Logger.Enabled(context.Background(), level) {
		return false
	}
	dropped, ok := limit.take(p.opts.Now())
	if dropped > 0 {
		p.write(slog.LevelWarn, "plugin log lines dropped", slog.Int("lines", dropped))
	}
	return ok
}

func (p *Plugin) write(level slog.Level, msg string, attrs ...slog.Attr) {
	name := slog.String("plugin", p.opts.Name)
	p.opts.Logger.LogAttrs(context.Background(), level, msg, append([]slog.Attr{name}, attrs...)...)
}

// guestLine logs a line that the guest wrote, without a credential of the call
// it is asked about. Only what is going to be written is looked through.
func (i *instance) guestLine(level slog.Level, line []byte) {
	p := i.plugin
	if !p.may(&p.lines, level) {
		return
	}
	text := string(line[:min(len(line), maxLine)])
	if i.call != nil {
		text = i.call.BlankCut(text)
	}
	p.write(level, "plugin says", slog.String(SaidText, strings.ToValidUTF8(text, "\uFFFD")))
}

// clip shortens a text to at most n bytes, without half a character.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

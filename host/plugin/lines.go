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
	linesInSecond = 100  // of one plugin; also the most at once
)

// limiter is a token bucket for the log lines of one plugin.
type limiter struct {
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
		l.tokens = linesInSecond
	} else if gone := now.Sub(l.filled); gone > 0 {
		l.tokens = min(linesInSecond, l.tokens+gone.Seconds()*linesInSecond)
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
	ctx := context.Background()
	if !p.opts.Logger.Enabled(ctx, level) {
		return
	}
	dropped, ok := limit.take(p.opts.Now())
	if !ok {
		return
	}
	name := slog.String("plugin", p.opts.Name)
	if dropped > 0 {
		p.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "plugin log lines dropped", name, slog.Int("lines", dropped))
	}
	p.opts.Logger.LogAttrs(ctx, level, msg, append([]slog.Attr{name}, attrs...)...)
}

// guestLine logs a line that the guest wrote.
func (p *Plugin) guestLine(level slog.Level, line []byte) {
	if !p.opts.Logger.Enabled(context.Background(), level) {
		return
	}
	if len(line) > maxLine {
		line = line[:maxLine]
	}
	p.say(&p.lines, level, "plugin says", slog.String(SaidText, strings.ToValidUTF8(string(line), "\uFFFD")))
}

// clip shortens a text to at most n bytes, without half a character.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

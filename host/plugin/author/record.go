package author

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/cases"
)

// maxSaid bounds the lines that are kept of what a plugin says in one case.
const maxSaid = 50

// record is what came of asking one case, besides the answer.
type record struct {
	said []string // what the guest wrote, to the log or its standard output and error
	fuel int64
	took time.Duration
}

// subject is a loaded plugin that keeps a record of each case. It is a logger's
// handler too: the host writes there what the guest says, also of an instance
// that takes the place of one that failed.
type subject struct {
	*plugin.Plugin
	world *cases.World

	mu      sync.Mutex
	records map[*cases.Case]*record
	now     *record // being asked, or at first the load
	began   time.Time
}

// newSubject loads a module, and returns what it said if it did not load.
func newSubject(ctx context.Context, m *Module, o plugin.Options, world *cases.World) (*subject, error) {
	s := &subject{world: world, records: map[*cases.Case]*record{}, now: &record{}}
	o.Logger, o.Lines, o.Spent = slog.New(s), math.MaxInt, s.spent // a record bounds what it keeps
	var err error
	if s.Plugin, err = m.load(ctx, o, world); err != nil {
		return nil, &notLoaded{err, s.now.said}
	}
	return s, nil
}

// notLoaded is why a module does not load, and what it said.
type notLoaded struct {
	cause error
	said  []string
}

func (n *notLoaded) Error() string { return n.cause.Error() }
func (n *notLoaded) Unwrap() error { return n.cause }

// Begin implements cases.Observer.
func (s *subject) Begin(c *cases.Case) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = &record{}
	s.records[c] = s.now
	s.began = time.Now()
}

func (s *subject) spent(fuel int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.fuel += fuel // of each time that it is asked, if it has something fetched
	s.now.took = time.Since(s.began)
}

// of returns the record of a case, an empty one if it was not asked.
func (s *subject) of(c *cases.Case) record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.records[c]; r != nil {
		return *r
	}
	return record{}
}

// Enabled implements slog.Handler.
func (s *subject) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler: it keeps what the guest says.
func (s *subject) Handle(_ context.Context, r slog.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == plugin.SaidText && len(s.now.said) < maxSaid {
			s.now.said = append(s.now.said, a.Value.String())
		}
		return true
	})
	return nil
}

// WithAttrs implements slog.Handler.
func (s *subject) WithAttrs([]slog.Attr) slog.Handler { return s }

// WithGroup implements slog.Handler.
func (s *subject) WithGroup(string) slog.Handler { return s }

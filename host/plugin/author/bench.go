package author

import (
	"context"
	"runtime"
	"time"

	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/cases"
)

// Measure is what one call takes, by a case.
type Measure struct {
	Name   string  `json:"name"`
	Hook   string  `json:"hook"`
	Ns     float64 `json:"ns"`     // the best of several rounds, of the host's part too
	Allocs float64 `json:"allocs"` // of the host; a guest's are within its own memory
	Fuel   int64   `json:"fuel"`
	Error  string  `json:"error,omitempty"` // why it is not measured
}

// A case is measured in rounds, each of which lasts so long, after a first one
// that nothing is made of.
const (
	rounds    = 5
	roundTime = 50 * time.Millisecond
)

// Bench asks each case again and again, on the compiler. Cases that are not
// answered are not measured; whether an answer is the expected one is of no
// concern.
func (m *Module) Bench(ctx context.Context) ([]Measure, error) {
	set, err := m.cases()
	if err != nil {
		return nil, err
	}
	var all []Measure
	for _, g := range set.Groups() {
		var world cases.World // of both: what a case describes is there when it is measured
		s, err := newSubject(ctx, m, plugin.Options{Config: g.Config}, &world)
		if err != nil {
			return nil, err
		}
		// The one that is measured keeps no record.
		p, err := m.load(ctx, plugin.Options{Config: g.Config}, &world)
		if err != nil {
			return nil, err
		}
		for _, c := range g.Cases {
			one := Measure{Name: c.Name, Hook: c.Hook}
			if r := c.Run(ctx, s, &world); r.Err != nil {
				one.Error = r.Err.Error()
			} else {
				one.Fuel = s.of(c).fuel
				// What a case has fetched is answered once: then it is refused.
				if one.Ns, one.Allocs, err = measure(ctx, c, p); err != nil {
					one.Error = err.Error()
				}
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			all = append(all, one)
		}
		for _, p := range []cases.Subject{s, p} {
			if err := p.Close(ctx); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// measure returns the nanoseconds and allocations of one call.
func measure(ctx context.Context, c *cases.Case, p *plugin.Plugin) (ns, allocs float64, err error) {
	ask := c.Asker(p)
	for round := range rounds + 1 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		calls, began, took := 0, time.Now(), time.Duration(0)
		for took < roundTime {
			for range 100 {
				if err := ask(ctx); err != nil {
					return 0, 0, err
				}
			}
			calls += 100
			took = time.Since(began)
		}
		runtime.ReadMemStats(&after)
		each, made := float64(took.Nanoseconds())/float64(calls), float64(after.Mallocs-before.Mallocs)/float64(calls)
		if round == 0 {
			continue
		}
		if ns == 0 || each < ns {
			ns = each
		}
		if round == 1 || made < allocs {
			allocs = made
		}
	}
	return ns, allocs, ctx.Err()
}

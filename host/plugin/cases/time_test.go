package cases_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin/cases"
)

// ending is a subject in whose n-th case the time is up.
type ending struct {
	subject
	n   int
	end func()
}

func (e *ending) Host() host.Plugin { return host.Plugin{Authorizer: e} }

func (e *ending) Authorize(ctx context.Context, c *host.Call) (host.Opinion, error) {
	if e.n--; e.n == 0 {
		e.end()
	}
	return e.subject.Authorize(ctx, c)
}

func (e *ending) Close(ctx context.Context) error {
	return errors.Join(ctx.Err(), e.subject.Close(ctx)) // what ends in its own time can still be closed
}

// When the time is up nothing more is asked or loaded, what was asked keeps its
// result, and the others say why there is none.
func TestTimeIsUp(t *testing.T) {
	set := parse(t, `
- {name: a, hook: on_authorize, request: {path: /}, expect: {decision: abstain}}
- {name: b, hook: on_authorize, request: {path: /}, expect: {decision: allow}}
- {name: c, hook: on_authorize, request: {path: /}, expect: {decision: abstain}}
- {name: d, hook: on_authorize, config: {}, request: {path: /}, expect: {decision: abstain}}
`)
	up := errors.New("the time is up")
	// In the second case of the compiler, and in that of the interpreter.
	for first, want := range map[bool]string{
		true: `f.yaml:2: case "a": not asked: the time is up
f.yaml:3: case "b": decision: want allow, got abstain`,
		false: `f.yaml:3: case "b": decision: want allow, got abstain
f.yaml:4: case "c": not asked: the time is up`,
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		var loaded []*ending
		err := set.Check(ctx, func(ctx context.Context, _ []byte, interpreted bool, _ *cases.World) (cases.Subject, error) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			e := &ending{n: -1, end: func() { cancel(up) }}
			if interpreted != first {
				e.n = 2
			}
			loaded = append(loaded, e)
			return e, nil
		})
		if err == nil || err.Error() != want {
			t.Errorf("got\n%v\nwant\n%s", err, want)
		}
		if n := map[bool]int{true: 1, false: 2}[first]; len(loaded) != n || loaded[0].closed != 1 || loaded[n-1].closed != 1 || len(loaded[n-1].asked) != 2 {
			t.Errorf("%d loaded", len(loaded))
		}
		for _, r := range set.Run(ctx, nil) {
			if n, ok := errors.AsType[cases.NotAsked](r.Err); !ok || !errors.Is(n, up) || strings.Contains(n.Error(), "load") {
				t.Errorf("%s: %v", r.Case.Name, r.Err)
			}
		}
	}
}

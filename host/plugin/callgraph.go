package plugin

import "slices"

// brief is up to how many units a function may take, with those it calls that
// do not look for fuel, so that it need not look itself when it is entered.
const brief = 512

// A callGraph finds the functions that need not look for fuel when they are
// entered: short ones, among which no call comes back to where it began.
// Whatever recurses goes through a function that looks.
type callGraph struct {
	calls [][]uint32 // of each function, which it calls; nil: none
	cost  []uint32   // of each, what it takes at most between two loops' turns
	state []callState
	deep  []bool // of each that does not look, whether it may call one that does
}

type callState uint8

const (
	undecided callState = iota
	looks               // one that does not look relies on it
	unlooking
)

// add adds the next function. One that is not short, or may call any, looks.
func (g *callGraph) add(cost uint32, calls []uint32, any bool) {
	state := undecided
	if any || cost > brief {
		state, calls = looks, nil
	}
	g.calls, g.cost, g.state = append(g.calls, slices.Clone(calls)), append(g.cost, cost), append(g.state, state)
	g.deep = append(g.deep, false)
}

// decide judges all functions, each after those that it calls where that can
// be.
func (g *callGraph) decide() {
	type visit struct{ f, next int }
	seen := make([]bool, len(g.calls))
	var stack []visit
	for f := range g.calls {
		stack = append(stack, visit{f, 0})
		for len(stack) > 0 {
			v := &stack[len(stack)-1]
			switch {
			case v.next == 0 && seen[v.f]:
				stack = stack[:len(stack)-1]
			case v.next < len(g.calls[v.f]):
				seen[v.f] = true
				v.next++
				if to := int(g.calls[v.f][v.next-1]); !seen[to] {
					stack = append(stack, visit{to, 0})
				}
			default:
				seen[v.f] = true
				g.judge(v.f)
				stack = stack[:len(stack)-1]
			}
		}
	}
}

// judge says of one function that it need not look, if it is short and all
// that it calls were judged before or look. Were there a circle of functions
// that do not look, the first that was judged would have made the next one
// look.
func (g *callGraph) judge(f int) {
	if g.state[f] != undecided {
		return
	}
	sum := uint64(g.cost[f])
	for _, to := range g.calls[f] {
		if g.state[to] == unlooking {
			sum += uint64(g.cost[to])
		}
	}
	if sum > brief {
		g.state[f] = looks
		return
	}
	for _, to := range g.calls[f] {
		if g.state[to] == undecided {
			g.state[to] = looks
		}
	}
	if g.state[f] == undecided { // it does not call itself
		g.deep[f] = slices.ContainsFunc(g.calls[f], func(to uint32) bool { return g.state[to] == looks || g.deep[to] })
		g.state[f], g.cost[f] = unlooking, uint32(sum)
	}
}

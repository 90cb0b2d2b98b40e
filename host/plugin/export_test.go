package plugin

import "time"

// Guard is what every module passes first.
var Guard = guard

// QuickStart has a start end as soon as ten calls would.
func QuickStart(o Options) Options {
	o.leastStart = time.Nanosecond
	return o
}

// AtRest says whether no instance is in use, and none is being made.
func (p *Plugin) AtRest() bool { return p.Health().Idle+len(p.permits) == cap(p.permits) }

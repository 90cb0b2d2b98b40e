package plugin

import "github.com/authhost/authhost/abi"

// Health is what a plugin is like at a moment.
type Health struct {
	Instances  int   // that exist
	Idle       int   // that wait for a call
	Ever       int64 // that were ever made
	Memory     int64 // bytes that linear memories take, and the image of an isolated plugin
	MostMemory int64 // what that can come to
	Breakers   []Breaker
	// Renewed says why each call of an isolated plugin takes an instance of
	// its own, "" if it does not.
	Renewed string
}

// Health tells how the plugin is. A closed plugin has nothing left.
func (p *Plugin) Health() Health {
	h := Health{Idle: len(p.idle), Memory: p.ledger.held.Load(), MostMemory: p.opts.Limits.Memory * int64(p.opts.Limits.Instances), Renewed: p.renewed}
	if p.handy.Load() != nil {
		h.Idle++
	}
	h.Instances, h.Ever = p.Instances()
	if p.image != nil {
		h.MostMemory += p.opts.Limits.Memory
	}
	for _, hook := range p.hooks {
		if hook != abi.Configure {
			h.Breakers = append(h.Breakers, p.breakers[hook].state(hook))
		}
	}
	return h
}

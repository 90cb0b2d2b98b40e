package plugin

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/authhost/authhost/abi"
	"github.com/tetratelabs/wazero/api"
)

// counters are the names that a plugin has declared. The zero value has none.
type counters struct {
	mu    sync.RWMutex
	names map[string]string // by itself, so that a look-up makes no text
}

func (c *counters) find(name []byte) (string, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	known, ok := c.names[string(name)]
	return known, ok
}

// declare adds a name, or says why it cannot be one.
func (c *counters) declare(name []byte) (string, error) {
	if len(name) == 0 || len(name) > abi.MaxMetricName || strings.Trim(string(name), metricLetters) != "" {
		return "", fmt.Errorf("metric: a name has 1 to %d of a-z, 0-9 and _", abi.MaxMetricName)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.names[string(name)]; ok {
		return known, nil
	}
	if len(c.names) == abi.MaxCounters {
		return "", fmt.Errorf("metric: more than %d names", abi.MaxCounters)
	}
	if c.names == nil {
		c.names = map[string]string{}
	}
	known := string(name)
	c.names[known] = known
	return known, nil
}

const metricLetters = "abcdefghijklmnopqrstuvwxyz0123456789_"

// metric(name_ptr, name_len i32, delta i64) adds to a counter. While an
// instance starts it declares the name.
func metric(ctx context.Context, m api.Module, stack []uint64) {
	i := entered(ctx)
	text := guestMemory{m.Memory(), abi.ImportMetric}.part("the name", stack[0], stack[1])
	if len(text) > abi.MaxMetricName {
		panic(fault("metric: the name is too long"))
	}
	i.tank.charge(len(text))
	delta := int64(stack[2])
	if delta < 0 {
		panic(fault("metric: a counter does not go back"))
	}
	name, ok := i.plugin.counters.find(text)
	if !ok && i.call == nil {
		var err error
		if name, err = i.plugin.counters.declare(text); err != nil {
			panic(fault(err.Error()))
		}
	} else if !ok {
		panic(fault(fmt.Sprintf("metric: %.64q was not declared in configure or _initialize", text)))
	}
	if c := i.plugin.opts.Counts; c != nil {
		c.PluginMetric(i.plugin.opts.Name, name, delta)
	}
}

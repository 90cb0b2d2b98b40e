package metric_test

import (
	"maps"
	"testing"

	"github.com/authhost/authhost/sdk/internal/fakehost"
	"github.com/authhost/authhost/sdk/metric"
)

func TestCounter(t *testing.T) {
	var host fakehost.Host
	host.Put(t, "no field")
	c := metric.New("denied")
	metric.New("seen")
	c.Inc()
	c.Add(2)
	if want := map[string]int64{"denied": 3, "seen": 0}; !maps.Equal(host.Metrics, want) {
		t.Errorf("counted %v", host.Metrics)
	}
	if n := testing.AllocsPerRun(100, func() { c.Inc(); c.Add(2) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

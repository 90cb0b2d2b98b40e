package replay_test

import (
	"strconv"
	"testing"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin/replay"
)

// What a decision that was seen already costs a request.
func BenchmarkRecordSeen(b *testing.B) {
	r, o := replay.NewRecorder(), host.Opinion{Effect: host.Allow, Reason: "rules[0]: editor"}
	for i := range replay.Size - 1 {
		r.Record(call("/api/items/"+strconv.Itoa(i)), o)
	}
	c := call("/api/gitops/sync")
	r.Record(c, o)
	b.ReportAllocs()
	for b.Loop() {
		r.Record(c, o)
	}
	if r.Len() != replay.Size {
		b.Fatal(r.Len())
	}
}

func BenchmarkRecordSeenParallel(b *testing.B) {
	r, o, c := replay.NewRecorder(), host.Opinion{Effect: host.Allow, Reason: "rules[0]: editor"}, call("/api/gitops/sync")
	r.Record(c, o)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Record(c, o)
		}
	})
}

// What a flood of requests that nobody has seen costs each of them.
func BenchmarkRecordFlood(b *testing.B) {
	r, o, c := replay.NewRecorder(), host.Opinion{Effect: host.Deny, Reason: "rules[0] needs editor"}, call("")
	paths := make([]string, 1<<16)
	for i := range paths {
		paths[i] = "/api/items/" + strconv.Itoa(i)
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		c.Request.Path = paths[n%len(paths)]
		r.Record(c, o)
		n++
	}
}

// What it costs to take one up.
func BenchmarkRecordNew(b *testing.B) {
	r, o, c := replay.NewRecorder(), host.Opinion{Effect: host.Deny, Reason: "rules[0] needs editor"}, call("")
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		c.Request.Path = "/api/items/" + strconv.Itoa(n)
		c.Now = c.Now.Add(second)
		r.Record(c, o)
		n++
	}
}

package cachetest

import (
	"bytes"
	"fmt"
	"testing"
)

func largeSlot(t *testing.T, s Store) {
	fields := map[string][]byte{}
	for i := range 300 {
		fields[fmt.Sprintf("f%03d", i)] = bytes.Repeat([]byte{byte(i)}, 1000+i)
	}
	put(t, s, s.A, "slot", fields)
	want(t, s.B, "slot", fields)
	if got := get(t, s.B, "slot", "f000", "f299"); !bytes.Equal(got[0], fields["f000"]) || !bytes.Equal(got[1], fields["f299"]) {
		t.Error("Get of two fields of a large slot differs")
	}
}

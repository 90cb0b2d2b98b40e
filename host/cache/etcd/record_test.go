package etcd_test

import (
	"bytes"
	"testing"

	"github.com/authhost/authhost/host/cache/etcd"
)

// Whatever is under a slot's key is read as what was written there or is an
// error: never a slot without fields, which would be an absent one.
func FuzzRecord(f *testing.F) {
	for _, fields := range []map[string][]byte{{"a": []byte("1")}, {"a": {}, "\x00\xff": {0}}, {"h": make([]byte, 40), "s:ses": make([]byte, 300)}} {
		b, err := etcd.Encode(1_800_000_000_000, fields)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	for _, bad := range []string{"", "\x83\x01\x00\x80", "\x83\x01\x00\xf6", "\x83\x02\x00\x82\x41a\x41b", "\x83\x01\x00\x82\x41a\xf6", "\x83\x01\x00\x81\x41a", "\xf6", "\x80"} {
		f.Add([]byte(bad))
		if _, err := etcd.Decode([]byte(bad)); err == nil {
			f.Errorf("%q is read as a slot", bad)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := etcd.Decode(b)
		if err != nil {
			return
		}
		if empty, _ := etcd.Encode(0, nil); bytes.Equal(again, empty) {
			t.Errorf("%x is a slot without fields", b)
		}
		third, err := etcd.Decode(again)
		if err != nil || !bytes.Equal(again, third) {
			t.Errorf("%x is written as %x and then as %x, %v", b, again, third, err)
		}
	})
}

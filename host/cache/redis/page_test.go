package redis

import (
	"reflect"
	"testing"
)

// FuzzPage: whatever is presented as a page is refused or understood, and says
// again what was understood.
func FuzzPage(f *testing.F) {
	for _, p := range []page{{}, {Node: "127.0.0.1:6379", Run: "1f", Map: "ab", Cursor: 1 << 63, Left: [][]byte{[]byte("\xff"), {}}}} {
		text, err := p.text()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add("!")
	f.Add("hWEB")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePage(text)
		if err != nil {
			return
		}
		again, err := p.text()
		if err != nil {
			t.Fatal(err)
		}
		if q, err := parsePage(again); err != nil || !reflect.DeepEqual(p, q) {
			t.Errorf("%+v becomes %+v, %v", p, q, err)
		}
	})
}

func TestClusterMap(t *testing.T) {
	const (
		a       = "aaaa 127.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-99 200\n"
		b       = "bbbb 127.0.0.1:7002@17002 master - 0 0 2 connected 100-199\n"
		replica = "cccc 127.0.0.1:7003@17003 slave bbbb 0 0 2 connected\n"
		bare    = "dddd 127.0.0.1:7004@17004 master - 0 0 3 connected\n"
	)
	table, n, ok := clusterMap(a + b + replica + bare)
	if !ok || n != 2 {
		t.Errorf("clusterMap = %d masters, %v", n, ok)
	}
	for name, same := range map[string]string{
		"other order":  b + a,
		"asked of b":   "aaaa 127.0.0.1:7001@17001 master - 5 7 1 connected 200 0-99\nbbbb 127.0.0.1:7002@17002 myself,master - 0 0 2 connected 100-199\n",
		"other epochs": "aaaa 127.0.0.1:7001@17001 myself,master - 5 7 9 connected 0-99 200\n" + b,
	} {
		if got, _, ok := clusterMap(same); got != table || !ok {
			t.Errorf("%s: another map", name)
		}
	}
	for name, other := range map[string]string{
		"moved":   "aaaa 127.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-99\n" + "bbbb 127.0.0.1:7002@17002 master - 0 0 2 connected 100-200\n",
		"another": "eeee 127.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-99 200\n" + b,
	} {
		if got, _, _ := clusterMap(other); got == table {
			t.Errorf("%s: the same map", name)
		}
	}
	for name, bad := range map[string]string{
		"giving":    "aaaa 127.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-99 [99->-bbbb]\n" + b,
		"taking":    "aaaa 127.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-99 [100-<-bbbb]\n" + b,
		"a replica": "cccc 127.0.0.1:7003@17003 myself,slave bbbb 0 0 2 connected\n" + b,
		"nothing":   "",
	} {
		if _, _, ok := clusterMap(bad); ok {
			t.Errorf("%s: taken for a map that stands", name)
		}
	}
}

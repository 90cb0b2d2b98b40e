//go:build !wasip1

package guest

func get(kind uint32, name string, index uint32, dst []byte) int32 {
	return Host.Get(kind, name, index, dst)
}

func log(level uint32, text string) { Host.Log(level, text) }

// Metric adds to a counter. Without a host nothing is counted: a plugin's own
// tests begin with its variables, which declare counters.
func Metric(name string, delta int64) {
	if Host != nil {
		Host.Metric(name, delta)
	}
}

// DeclareFetch is the host function fetch, which does nothing.
func DeclareFetch() {}

func sessionGet(name string, dst []byte) int32 { return Host.SessionGet(name, dst) }

// SessionSet is the host function session_set.
func SessionSet(name string, old, new Value) int32 { return Host.SessionSet(name, old, new) }

func kvGet(key string, dst []byte) int32 { return Host.KVGet(key, dst) }

// KVSet is the host function kv_set.
func KVSet(key string, old, new Value, ttl int64) int32 { return Host.KVSet(key, old, new, ttl) }

func kvAdd(key string, delta, ttl int64, sum *[8]byte) int32 {
	return Host.KVAdd(key, delta, ttl, sum)
}

package guest

// Host stands in for the host where there is none: native tests set it. In a
// plugin it counts for nothing.
var Host interface {
	// Get reads into dst what fits whole and returns the full length.
	Get(kind uint32, name string, index uint32, dst []byte) int32
	Log(level uint32, text string)
	Metric(name string, delta int64)
	SessionGet(name string, dst []byte) int32
	SessionSet(name string, old, new Value) int32
	KVGet(key string, dst []byte) int32
	KVSet(key string, old, new Value, ttl int64) int32
	KVAdd(key string, delta, ttl int64, sum *[8]byte) int32
}

// Buffer returns the shared buffer: a native test is the host.
func Buffer() []byte { return buffer[:maxAnswer] }

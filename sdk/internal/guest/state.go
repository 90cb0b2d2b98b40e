package guest

// Value is what a key or an attribute has, or is to have.
type Value struct {
	Is   Being
	Text string // of Some
}

// Being says whether there is a value. It is the length that says so to the
// host.
type Being int8

// The zero Being is Some.
const (
	Some Being = 0
	None Being = -1
	Any  Being = -2 // whatever it is
)

// What the host says of a change.
const (
	SetDone  = 1
	SetOther = 0
	SetFull  = -3
)

// SessionGet reads an attribute as Get reads.
func SessionGet(name string) (value string, ok bool) { return read(sessionGet, name) }

// KVGet reads a key as Get reads.
func KVGet(key string) (value string, ok bool) { return read(kvGet, key) }

// read reads a value that may be another at each look. It goes into the arena,
// or, where that has no room left, is allocated.
func read(get func(name string, dst []byte) int32, name string) (value string, ok bool) {
	dst, shared := arena[current.used:], true
	for {
		n := get(name, dst)
		switch {
		case n < 0:
			return "", false
		case int(n) > len(dst):
			dst, shared = make([]byte, n), false
			continue
		case shared:
			current.used += int(n)
		}
		return view(dst[:n]), true
	}
}

// KVAdd is the host function kv_add. The sum is 0 where nothing was added: what
// the host has then left for it means nothing.
func KVAdd(key string, delta, ttl int64) (sum int64, status int32) {
	var b [8]byte
	if status = kvAdd(key, delta, ttl, &b); status == SetDone {
		sum = int64(u64(view(b[:])))
	}
	return sum, status
}

//go:build wasip1

package guest

import "unsafe"

//go:wasmimport authhost get
//go:noescape
func hostGet(kind uint32, name unsafe.Pointer, nameLen, index uint32, dst unsafe.Pointer, dstCap uint32) int32

//go:wasmimport authhost log
//go:noescape
func hostLog(level uint32, text unsafe.Pointer, length uint32)

// get reads into dst and returns the full length; only what fits is copied.
func get(kind uint32, name string, index uint32, dst []byte) int32 {
	return hostGet(kind, unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)), index,
		unsafe.Pointer(unsafe.SliceData(dst)), uint32(len(dst)))
}

func log(level uint32, text string) {
	hostLog(level, unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
}

//go:wasmimport authhost metric
//go:noescape
func hostMetric(name unsafe.Pointer, nameLen uint32, delta int64)

//go:wasmimport authhost session_get
//go:noescape
func hostSessionGet(name unsafe.Pointer, nameLen uint32, dst unsafe.Pointer, dstCap uint32) int32

//go:wasmimport authhost session_set
//go:noescape
func hostSessionSet(name unsafe.Pointer, nameLen uint32, old unsafe.Pointer, oldLen int32, new unsafe.Pointer, newLen int32) int32

//go:wasmimport authhost kv_get
//go:noescape
func hostKVGet(key unsafe.Pointer, keyLen uint32, dst unsafe.Pointer, dstCap uint32) int32

//go:wasmimport authhost kv_set
//go:noescape
func hostKVSet(key unsafe.Pointer, keyLen uint32, old unsafe.Pointer, oldLen int32, new unsafe.Pointer, newLen int32, ttl int64) int32

//go:wasmimport authhost kv_add
//go:noescape
func hostKVAdd(key unsafe.Pointer, keyLen uint32, delta, ttl int64, sum unsafe.Pointer) int32

//go:wasmimport authhost fetch
func hostFetch()

// DeclareFetch does nothing. A plugin in which it can be reached imports fetch,
// which declares that something is fetched.
func DeclareFetch() { hostFetch() }

func text(s string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(s)), uint32(len(s))
}

// Metric adds to a counter.
func Metric(name string, delta int64) {
	at, n := text(name)
	hostMetric(at, n, delta)
}

func sessionGet(name string, dst []byte) int32 {
	at, n := text(name)
	return hostSessionGet(at, n, unsafe.Pointer(unsafe.SliceData(dst)), uint32(len(dst)))
}

// SessionSet is the host function session_set.
func SessionSet(name string, old, new Value) int32 {
	at, n := text(name)
	return hostSessionSet(at, n, old.at(), old.length(), new.at(), new.length())
}

func kvGet(key string, dst []byte) int32 {
	at, n := text(key)
	return hostKVGet(at, n, unsafe.Pointer(unsafe.SliceData(dst)), uint32(len(dst)))
}

// KVSet is the host function kv_set.
func KVSet(key string, old, new Value, ttl int64) int32 {
	at, n := text(key)
	return hostKVSet(at, n, old.at(), old.length(), new.at(), new.length(), ttl)
}

func kvAdd(key string, delta, ttl int64, sum *[8]byte) int32 {
	at, n := text(key)
	return hostKVAdd(at, n, delta, ttl, unsafe.Pointer(sum))
}

func (v Value) at() unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(v.Text)) }

func (v Value) length() int32 {
	if v.Is != Some {
		return int32(v.Is)
	}
	return int32(len(v.Text))
}

//go:wasmexport authhost_abi_v1
func marker() {}

//go:wasmexport authhost_buffer
func shareBuffer() uint64 {
	return uint64(uintptr(unsafe.Pointer(&buffer)))<<32 | maxAnswer
}

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

//go:wasmexport authhost_abi_v1
func marker() {}

//go:wasmexport authhost_buffer
func shareBuffer() uint64 {
	return uint64(uintptr(unsafe.Pointer(&buffer)))<<32 | uint64(len(buffer))
}

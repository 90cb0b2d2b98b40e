// Command guest is a plugin for the tests of package plugin, written against
// the bare ABI: its configuration says how it behaves.
//
//	""        every request is allowed
//	"roles"   allowed to who has the role editor, read from the frame
//	"refuse"  the configuration is refused
//	"panic"   on_authorize panics
//	"trap"    on_authorize reads beyond its memory
//	"loop"    on_authorize never ends
//	"garbage" on_authorize makes garbage
//	"remember" denied, if it was asked before
//	"clock"   on_authorize denies, with its clock twice as the reason
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"
	"unsafe"
)

const (
	fieldRoles  = 14
	fieldConfig = 64
)

var (
	buffer [8192]byte
	mode   string
	sink   [][]byte
	seen   map[string]bool
)

func main() {}

//go:wasmexport authhost_abi_v1
func marker() {}

//go:wasmexport authhost_buffer
func room() uint64 {
	return uint64(uintptr(unsafe.Pointer(&buffer)))<<32 | uint64(len(buffer))
}

//go:wasmexport configure
func configure(length uint32) uint64 {
	mode = string(field(fieldConfig))
	if mode == "refuse" {
		return reason(2, "as told")
	}
	return 0
}

//go:wasmexport on_authorize
func onAuthorize(length uint32) uint64 {
	switch mode {
	case "roles":
		for list := field(fieldRoles); len(list) >= 4; {
			n := binary.LittleEndian.Uint32(list)
			if string(list[4:4+n]) == "editor" {
				return 1
			}
			list = list[4+n:]
		}
		return reason(2, "not an editor")
	case "panic":
		fall()
	case "trap":
		reach()
	case "loop":
		turn()
	case "garbage":
		for range 64 {
			sink = append(sink[:0], make([]byte, 16<<10))
		}
	case "remember":
		if seen["alice"] {
			return reason(2, "seen")
		}
		seen = map[string]bool{"alice": true}
	case "exit":
		os.Exit(0)
	case "clock":
		a := time.Now().UnixNano()
		for range 1000 {
			sink = sink[:0]
		}
		return reason(2, fmt.Sprint(a, " ", time.Now().UnixNano()))
	}
	return 1
}

//go:noinline
func fall() { panic("as told") }

//go:noinline
func reach() { buffer[0] = *(*byte)(unsafe.Pointer(uintptr(0xfffffff0))) }

//go:noinline
func turn() {
	for {
		sink = sink[:0]
	}
}

// field returns a field of the frame in buffer.
func field(id uint16) []byte {
	count := int(binary.LittleEndian.Uint16(buffer[2:]))
	for i := range count {
		e := buffer[8+12*i:]
		if binary.LittleEndian.Uint16(e) == id {
			at, n := binary.LittleEndian.Uint32(e[4:]), binary.LittleEndian.Uint32(e[8:])
			return buffer[at : at+n]
		}
	}
	return nil
}

// reason answers code with a reason.
func reason(code uint64, text string) uint64 {
	b := binary.LittleEndian.AppendUint32(append(buffer[:0], 2, 0, 0, 0), uint32(len(text)))
	return uint64(len(append(b, text...)))<<32 | code
}

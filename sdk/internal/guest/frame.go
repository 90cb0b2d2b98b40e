package guest

import "unsafe"

const (
	frameHead  = 8  // u16 hook, u16 count, u32 length
	frameEntry = 12 // u16 id, u16 flags, u32 offset, u32 length
	flagLazy   = 1
)

// The host writes frames, so a malformed one is nothing to recover from:
// reading it panics, which ends the instance.
const malformed = "sdk: malformed frame"

// frame is a frame's bytes, and where its table ends. Being a string, its
// parts are views.
type frame struct {
	b   string
	end int
}

// newFrame checks the head of a frame; each field is checked when it is read.
func newFrame(b string, hook int) frame {
	if len(b) < frameHead || u32(b[4:]) != len(b) {
		panic(malformed)
	}
	end := frameHead + u16(b[2:])*frameEntry
	if end > len(b) {
		panic(malformed)
	}
	if u16(b) != hook {
		panic("sdk: a frame of another hook")
	}
	return frame{b, end}
}

// hints remembers where in the table each field was found last: the host
// writes the same fields in the same order, request after request, and a loop
// is the most expensive thing that a metered guest can do.
var hints [256]uint16

// field returns a field's bytes, or that get has to read them.
func (f *frame) field(id int) (value string, lazy, ok bool) {
	at := frameHead
	for at < f.end && u16(f.b[at:]) != id {
		at += frameEntry
	}
	if at == f.end {
		return "", false, false
	}
	hints[id&0xff] = uint16(at)
	entry := f.b[at : at+frameEntry]
	if u16(entry[2:])&flagLazy != 0 {
		return "", true, true
	}
	return f.cut(u32(entry[4:]), u32(entry[8:])), false, true
}

func (f *frame) cut(start, length int) string {
	if start < f.end || length > len(f.b)-start {
		panic(malformed)
	}
	return f.b[start : start+length]
}

// Each yields the items of a list.
func Each(list string, yield func(item string) bool) {
	for len(list) > 0 {
		var item string
		if item, list = first(list); !yield(item) {
			return
		}
	}
}

// Has says whether item is in the list.
func Has(list, item string) bool {
	for len(list) > 0 {
		if len(list) < 4 || u32(list) > len(list)-4 {
			panic(malformed)
		}
		end := 4 + u32(list)
		if end == 4+len(item) && (end == 4 || list[4] == item[0]) && list[4:end] == item {
			return true
		}
		list = list[end:]
	}
	return false
}

// first splits a list's first item off.
func first(list string) (item, rest string) {
	if len(list) < 4 || u32(list) > len(list)-4 {
		panic(malformed)
	}
	end := 4 + u32(list)
	return list[4:end], list[end:]
}

// Candidate is one item of the list of candidates.
type Candidate struct {
	Source, Kind, Verdict uint8
	Name, UserID          string
}

// ParseCandidate reads one item of the list of candidates.
func ParseCandidate(item string) Candidate {
	if len(item) < 4 {
		panic(malformed)
	}
	c := Candidate{Source: item[0], Kind: item[1], Verdict: item[2]}
	c.Name, item = short(item[4:])
	c.UserID, _ = short(item)
	return c
}

// short splits off a text behind its 16-bit length.
func short(b string) (text, rest string) {
	if len(b) < 2 || u16(b) > len(b)-2 {
		panic(malformed)
	}
	end := 2 + u16(b)
	return b[2:end], b[end:]
}

// u16, u32 and u64 read a number as WebAssembly does, at once and from any
// place. The compiler would put it together of its bytes.

func u16(b string) int {
	_ = b[1]
	return int(*(*uint16)(unsafe.Pointer(unsafe.StringData(b))))
}

func u32(b string) int {
	_ = b[3]
	return int(*(*uint32)(unsafe.Pointer(unsafe.StringData(b))))
}

func u64(b string) uint64 {
	_ = b[7]
	return *(*uint64)(unsafe.Pointer(unsafe.StringData(b)))
}

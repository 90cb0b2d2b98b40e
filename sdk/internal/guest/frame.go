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

// frame says of the frame in the buffer how long it is, and where its table
// ends.
var frame struct{ length, end int }

// take checks the head of the frame in the buffer; each field is checked when
// it is read.
func take(hook int, length uint32) {
	head := *(*uint64)(unsafe.Pointer(&buffer))
	end := frameHead + int(head>>16&0xffff)*frameEntry
	if uint16(head) != uint16(hook) || uint32(head>>32) != length || length > maxAnswer || end > int(length) {
		panic(malformed) // or a frame of another hook
	}
	frame.length, frame.end = int(length), end
}

// hints remembers where in the table each field was found last: the host
// writes the same fields in the same order, request after request, and a loop
// is the most expensive thing that a metered guest can do.
var hints [256]uint16

// hinted returns where a field is that is where it was last, if it is not
// lazy. It makes no call and is small enough to be part of who asks: calls are
// what a Go guest's time goes to.
func hinted(id int) (start, length int, ok bool) {
	at := int(hints[id&0xff])
	if uint(at-1) >= uint(frame.end-1) { // 0: it was never found
		return 0, 0, false
	}
	head := *(*uint64)(unsafe.Add(unsafe.Pointer(&buffer), at)) // id and flags, then the offset
	start, length = int(head>>32), int(*(*uint32)(unsafe.Add(unsafe.Pointer(&buffer), at+8)))
	return start, length, uint32(head) == uint32(id) && start >= frame.end && length <= frame.length-start
}

// field returns a field's bytes, or that get has to read them.
func field(id int) (value string, lazy, ok bool) {
	b := view(buffer[:frame.length])
	at := frameHead
	for at < frame.end && u16(b[at:]) != id {
		at += frameEntry
	}
	if at == frame.end {
		return "", false, false
	}
	hints[id&0xff] = uint16(at)
	entry := b[at : at+frameEntry]
	if u16(entry[2:])&flagLazy != 0 {
		return "", true, true
	}
	start, length := u32(entry[4:]), u32(entry[8:])
	if start < frame.end || length > len(b)-start {
		panic(malformed)
	}
	return b[start : start+length], false, true
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
		var one string
		if one, list = first(list); one == item {
			return true
		}
	}
	return false
}

// word returns the first 8 bytes of a text, as many as it has, and a mask of
// those. What is shorter is put together of pieces that overlap.
func word(text string) (w, mask uint64) {
	b, n := unsafe.Pointer(unsafe.StringData(text)), len(text)
	switch {
	case n >= 8:
		return *(*uint64)(b), 1<<64 - 1
	case n >= 4:
		w = uint64(*(*uint32)(b)) | uint64(*(*uint32)(unsafe.Add(b, n-4)))<<(8*n-32)
	case n > 0:
		w = uint64(text[0]) | uint64(text[n/2])<<(n/2*8) | uint64(text[n-1])<<(8*n-8)
	}
	return w, 1<<(8*n) - 1
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

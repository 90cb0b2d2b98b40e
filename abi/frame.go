package abi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
)

const (
	frameHead  = 8  // u16 hook, u16 count, u32 length
	frameEntry = 12 // u16 id, u16 flags, u32 offset, u32 length
	flagLazy   = 1

	tooMany = "abi: more fields than the frame was begun for"
)

// FrameWriter lays a frame out in a buffer that it does not own, without
// allocating. The zero value is unusable until Reset. Not safe for
// concurrent use.
type FrameWriter struct {
	buf   []byte
	next  int // where the next entry of the table goes
	table int // where the table ends
	data  int
}

// Reset begins a frame of at most max fields at the start of buf, which must
// hold at least MinBuffer bytes; max is at most 256.
func (w *FrameWriter) Reset(buf []byte, hook Hook, max int) {
	end := frameHead + max*frameEntry
	*w = FrameWriter{buf: buf, next: frameHead, table: end, data: end}
	binary.LittleEndian.PutUint16(buf, uint16(hook))
}

// Text adds a text field; one that does not fit is marked lazy. Like its
// siblings it panics when Reset was told of fewer fields: that is a mistake
// in the host, never a matter of what a client sent.
//
// It is entry and copy in one, since most fields are texts.
func (w *FrameWriter) Text(id Field, s string) {
	buf, next, at := w.buf, w.next, w.data
	if next == w.table {
		panic(tooMany)
	}
	e := (*[frameEntry]byte)(buf[next:])
	w.next = next + frameEntry
	binary.LittleEndian.PutUint32(e[8:], uint32(len(s)))
	if len(s) > len(buf)-at {
		binary.LittleEndian.PutUint64(e[:], uint64(id)|flagLazy<<16)
		return
	}
	binary.LittleEndian.PutUint64(e[:], uint64(id)|uint64(at)<<32)
	w.data = at + len(s)
	copy(buf[at:], s)
}

// Number adds a 64-bit number field; one that does not fit is marked lazy.
func (w *FrameWriter) Number(id Field, v uint64) {
	if at, ok := w.entry(id, 8); ok {
		binary.LittleEndian.PutUint64(w.buf[at:], v)
	}
}

// List adds a list field; one that does not fit is marked lazy.
func (w *FrameWriter) List(id Field, items []string) {
	if at, ok := w.entry(id, ListLen(items)); ok {
		AppendList(w.buf[at:at], items)
	}
}

// Bytes adds a field that the caller has encoded; one that does not fit is
// marked lazy.
func (w *FrameWriter) Bytes(id Field, b []byte) {
	if at, ok := w.entry(id, len(b)); ok {
		copy(w.buf[at:], b)
	}
}

// Finish completes the frame and returns its length in bytes.
func (w *FrameWriter) Finish() int {
	binary.LittleEndian.PutUint16(w.buf[2:], uint16((w.next-frameHead)/frameEntry))
	binary.LittleEndian.PutUint32(w.buf[4:], uint32(w.data))
	return w.data
}

// entry writes the table entry and says where the data goes, if it fits.
func (w *FrameWriter) entry(id Field, length int) (at int, fits bool) {
	next := w.next
	if next == w.table {
		panic(tooMany)
	}
	e := (*[frameEntry]byte)(w.buf[next:])
	w.next = next + frameEntry
	at, fits = w.data, length <= len(w.buf)-w.data
	flags := uint64(0)
	if fits {
		w.data += length
	} else {
		at, flags = 0, flagLazy
	}
	// Id, flags and offset at once: this is where a frame's time goes.
	binary.LittleEndian.PutUint64(e[:], uint64(id)|flags<<16|uint64(uint32(at))<<32)
	binary.LittleEndian.PutUint32(e[8:], uint32(length))
	return at, fits
}

// ListLen returns the encoded length of a list in bytes.
func ListLen(items []string) int {
	n := 0
	for _, s := range items {
		n += 4 + len(s)
	}
	return n
}

// AppendList appends a list's encoding to b.
func AppendList(b []byte, items []string) []byte {
	for _, s := range items {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}

// Candidate is one credential as on_credential is shown it.
type Candidate struct {
	Source  uint8  // 1 header, 2 cookie, 3 query
	Kind    uint8  // 1 jwt, 2 session, 3 access_token, 0 none of them
	Verdict uint8  // 0 not tried yet; the others are listed in SPEC.md
	Name    string // of the header, cookie or parameter
	UserID  string // whom a properly signed credential names, else empty
}

// AppendCandidate appends a candidate as one item of the list of
// FieldCandidates: item length, source, kind, verdict, 0, then name and user
// id, each behind its 16-bit length. What is longer than 65535 bytes is cut
// there: cut, because an empty user id would say that nobody is named.
func AppendCandidate(b []byte, c Candidate) []byte {
	c.Name = c.Name[:min(len(c.Name), math.MaxUint16)]
	c.UserID = c.UserID[:min(len(c.UserID), math.MaxUint16)]
	b = binary.LittleEndian.AppendUint32(b, uint32(8+len(c.Name)+len(c.UserID)))
	b = append(b, c.Source, c.Kind, c.Verdict, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(c.Name)))
	b = append(b, c.Name...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(c.UserID)))
	return append(b, c.UserID...)
}

// Frame is a frame as a guest reads it.
type Frame struct{ b []byte }

var errShort = errors.New("abi: cut short")

// ParseFrame checks that b holds one whole frame. The frame keeps b.
func ParseFrame(b []byte) (Frame, error) {
	if len(b) < frameHead {
		return Frame{}, errShort
	}
	f := Frame{b}
	if n := binary.LittleEndian.Uint32(b[4:]); uint64(n) != uint64(len(b)) {
		return Frame{}, fmt.Errorf("abi: frame of %d bytes says %d", len(b), n)
	}
	data := frameHead + int(binary.LittleEndian.Uint16(b[2:]))*frameEntry
	if data > len(b) {
		return Frame{}, errShort
	}
	for at := frameHead; at < data; at += frameEntry {
		if binary.LittleEndian.Uint16(b[at+2:])&flagLazy != 0 {
			continue
		}
		off := uint64(binary.LittleEndian.Uint32(b[at+4:]))
		end := off + uint64(binary.LittleEndian.Uint32(b[at+8:]))
		if off < uint64(data) || end > uint64(len(b)) {
			return Frame{}, errShort
		}
	}
	return f, nil
}

// Len returns how many fields the frame has, lazy ones included.
func (f Frame) Len() int { return int(binary.LittleEndian.Uint16(f.b[2:])) }

// Hook returns the hook that the frame is for.
func (f Frame) Hook() Hook { return Hook(binary.LittleEndian.Uint16(f.b)) }

// Lookup returns a field's bytes, a view into the frame. Of a lazy field it
// returns nil and true: get reads it.
func (f Frame) Lookup(id Field) (data []byte, lazy, ok bool) {
	end := frameHead + f.Len()*frameEntry
	for at := frameHead; at < end; at += frameEntry {
		if Field(binary.LittleEndian.Uint16(f.b[at:])) != id {
			continue
		}
		if binary.LittleEndian.Uint16(f.b[at+2:])&flagLazy != 0 {
			return nil, true, true
		}
		off := binary.LittleEndian.Uint32(f.b[at+4:])
		return f.b[off : off+binary.LittleEndian.Uint32(f.b[at+8:])], false, true
	}
	return nil, false, false
}

// Items ranges over a list's items; a list that is cut short ends early.
func Items(list []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(list) >= 4 {
			n := uint64(binary.LittleEndian.Uint32(list))
			if n > uint64(len(list)-4) || !yield(list[4:4+n]) {
				return
			}
			list = list[4+n:]
		}
	}
}

// ParseCandidate reads one item of the list of FieldCandidates.
func ParseCandidate(b []byte) (Candidate, error) {
	if len(b) < 6 {
		return Candidate{}, errShort
	}
	c := Candidate{Source: b[0], Kind: b[1], Verdict: b[2]}
	b = b[4:]
	for _, s := range []*string{&c.Name, &c.UserID} {
		if len(b) < 2 {
			return Candidate{}, errShort
		}
		n := int(binary.LittleEndian.Uint16(b))
		if n > len(b)-2 {
			return Candidate{}, errShort
		}
		*s, b = string(b[2:2+n]), b[2+n:]
	}
	return c, nil
}

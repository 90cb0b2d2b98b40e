package guest

import (
	"unicode/utf8"
	"unsafe"
)

// out is where an answer is laid out: its texts may be views of the buffer,
// so that is not written before the answer is whole.
var out [maxAnswer]byte

// Answer lays one answer out. An answer that grows beyond what the host takes
// panics: the host then answers 503, as it does for any plugin that fails.
type Answer struct{ n int }

// Status adds the status of a deny.
func (a *Answer) Status(status int) { a.number(answerStatus, status) }

// Candidate adds the candidate to try.
func (a *Answer) Candidate(i int) { a.number(answerCandidate, i) }

// Reason adds the reason, if there is one; it comes before any header. It is
// cut to what the host takes, blanks stand for line ends and tabs, U+FFFD for
// what else is not text: reasons are for people and often quote what a client
// sent, which must not fail the call.
func (a *Answer) Reason(text string) {
	if text == "" {
		return
	}
	if len(text) <= maxReason && plain(text) {
		a.head(answerReason, len(text))
		a.text(text)
		return
	}
	a.head(answerReason, 0)
	b, n := a.room(a.n, maxReason), 0
	for _, r := range text {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			r = ' '
		case r < 0x20 || 0x7f <= r && r < 0xa0 || r == 0x2028 || r == 0x2029:
			r = utf8.RuneError
		}
		if n+utf8.RuneLen(r) > maxReason {
			break
		}
		n += utf8.EncodeRune(b[n:], r)
	}
	put32(a.room(a.n-4, 4), n)
	a.n += n
}

// plain says whether all of text is printable ASCII. It looks at eight bytes
// at a time, the last eight perhaps twice: see hints on loops.
func plain(text string) bool {
	if len(text) < 8 {
		for i := range len(text) {
			if text[i] < 0x20 || text[i] > 0x7e {
				return false
			}
		}
		return true
	}
	for at := 0; at < len(text)-8; at += 8 {
		if !plain8(u64(text[at:])) {
			return false
		}
	}
	return plain8(u64(text[len(text)-8:]))
}

// plain8 says the same of eight bytes. With no top bit set, adding 1 sets that
// of 0x7f alone, and subtracting 0x20 that of the lowest byte below 0x20 at
// least; neither sets one where there is none such.
func plain8(x uint64) bool {
	const each = 0x0101010101010101
	return (x|(x+each)|(x-0x20*each))&(0x80*each) == 0
}

// List adds what AppendHeader or AppendAttribute returned.
func (a *Answer) List(list string) { a.text(list) }

// written is where lists are laid out, one behind another. What is
// there is never written again, so a list holds as long as any string. One
// piece lasts for many lists.
var written []byte

const writtenPiece = 16 << 10

// AppendHeader returns a list of headers with one more, as it is: the host
// judges it. The list that is handed in stays what it was.
func AppendHeader(list, name, value string) string {
	return appendPair(answerHeader, list, name, value)
}

// AppendAttribute does the same with attributes of a session.
func AppendAttribute(list, name, value string) string {
	return appendPair(answerAttribute, list, name, value)
}

func appendPair(id byte, list, name, value string) string {
	if len(name) > 0xffff {
		panic("sdk: a name longer than 65535 bytes")
	}
	const head = 10
	one := head + len(name) + len(value)
	extend(list, one)
	at := len(written)
	written = append(written, id, 0, 0, 0, 0, 0, 0, 0, byte(len(name)), byte(len(name)>>8))
	put32(written[at+4:], one-8)
	written = append(append(written, name...), value...)
	return view(written[at-len(list):])
}

// Join returns a list and a text behind it as one string, laid out as lists
// are.
func Join(list, text string) string {
	if list == "" || text == "" {
		return list + text
	}
	extend(list, len(text))
	at := len(written) - len(list)
	written = append(written, text...)
	return view(written[at:])
}

// extend has a list be the one laid out last, with room behind it.
func extend(list string, room int) {
	if last(list) && room <= cap(written)-len(written) {
		return
	}
	if len(list)+room > cap(written)-len(written) {
		written = make([]byte, 0, max(len(list)+room, writtenPiece))
	}
	written = append(written, list...)
}

// last says whether a list is the one laid out last, which can grow in place.
func last(list string) bool {
	at := len(written) - len(list)
	return list != "" && at >= 0 && unsafe.StringData(list) == &written[at]
}

// Request adds what is to be fetched, as it is: the host judges it.
func (a *Answer) Request(method, url, body string, headers [][2]string) {
	a.request(answerRequest, method, url, body, headers)
}

// Call adds a request that is to be delivered, likewise.
func (a *Answer) Call(method, url, body string, headers [][2]string) {
	a.request(answerCall, method, url, body, headers)
}

// Idle adds a deadline in Unix milliseconds.
func (a *Answer) Idle(ms int64) { a.moment(answerIdle, ms) }

// Absolute adds a deadline in Unix milliseconds.
func (a *Answer) Absolute(ms int64) { a.moment(answerAbsolute, ms) }

func (a *Answer) moment(id int, ms int64) {
	a.head(id, 8)
	b := a.room(a.n, 8)
	put32(b, int(uint32(ms)))
	put32(b[4:], int(uint32(ms>>32)))
	a.n += 8
}

func (a *Answer) request(id int, method, url, body string, headers [][2]string) {
	start := a.n
	a.head(id, 0)
	a.short(method)
	a.short(url)
	b := a.room(a.n, 2)
	b[0], b[1] = byte(len(headers)), byte(len(headers)>>8)
	a.n += 2
	for _, h := range headers {
		a.short(h[0])
		a.short(h[1])
	}
	a.text(body)
	put32(a.room(start+4, 4), a.n-start-8)
}

// Blob adds what the host is to hand back, if there is anything.
func (a *Answer) Blob(text string) {
	if text != "" {
		a.head(answerBlob, len(text))
		a.text(text)
	}
}

// Finish puts the answer into the buffer and returns the hook's result.
func (a *Answer) Finish(code uint32) uint64 {
	copy(buffer[:], out[:a.n])
	return uint64(code) | uint64(a.n)<<32
}

func (a *Answer) number(id, v int) {
	a.head(id, 4)
	put32(a.room(a.n, 4), v)
	a.n += 4
}

func (a *Answer) head(id, length int) {
	b := a.room(a.n, 8)
	b[0], b[1], b[2], b[3] = byte(id), byte(id>>8), 0, 0
	put32(b[4:], length)
	a.n += 8
}

func (a *Answer) short(s string) {
	if len(s) > 0xffff {
		panic("sdk: a text of a request is longer than 65535 bytes")
	}
	b := a.room(a.n, 2)
	b[0], b[1] = byte(len(s)), byte(len(s)>>8)
	a.n += 2
	a.text(s)
}

func (a *Answer) text(s string) {
	copy(a.room(a.n, len(s)), s)
	a.n += len(s)
}

func (a *Answer) room(at, n int) []byte {
	if n > len(out)-at {
		panic("sdk: the answer is longer than 16384 bytes")
	}
	return out[at : at+n]
}

func put32(b []byte, v int) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

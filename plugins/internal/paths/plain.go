package paths

// A plain path holds ASCII letters, digits and punctuation alone, no dot and
// no blank: it has no loose reading, folds byte by byte, and so nearly every
// request can be judged eight bytes at a time: a guest pays for what it does,
// and this is a small part of what a byte at a time would cost.

const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// IsPlain says whether path is plain.
func IsPlain(path string) bool {
	last := len(path) - 8
	if last < 0 {
		return isPlainShort(path)
	}
	odd := oddBytes(load(path, 0)) | oddBytes(load(path, min(8, last))) |
		oddBytes(load(path, min(16, last))) | oddBytes(load(path, last))
	for i := 24; i < last; i += 8 {
		odd |= oddBytes(load(path, i))
	}
	return odd == 0
}

func isPlainShort(path string) bool {
	for _, c := range []byte(path) {
		if c <= ' ' || c == '.' || c >= 0x80 {
			return false
		}
	}
	return true
}

// oddBytes is zero unless a byte of w is beyond ASCII, a dot, a blank or a
// control character.
func oddBytes(w uint64) uint64 {
	dots := w ^ '.'*ones
	return (w | (w-(' '+1)*ones)&^w | (dots-ones)&^dots) & tops
}

// lower turns the ASCII capitals in w into small letters.
func lower(w uint64) uint64 {
	low := w &^ tops
	fromA, beyondZ := low+(0x80-'A')*ones, low+(0x80-'Z'-1)*ones
	return w | (fromA&^beyondZ&^w&tops)>>2
}

// load reads eight bytes of s from i on.
func load(s string, i int) uint64 {
	b := s[i : i+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// CoversPlain is [Pattern.Covers] for a plain path.
func (p *Pattern) CoversPlain(path string) bool {
	n := len(p.head)
	if p.Starred || n < 8 {
		return p.Covers(path, false)
	}
	if len(path) < n || (len(path) > n && (path[n] != '/' || (!p.tree && len(path) > n+1))) {
		return false
	}
	if p.exact {
		return path[:n] == p.head
	}
	// From the end: paths of one length differ there, if anywhere.
	last := n - 8
	if p.differ(path, last) != 0 {
		return false
	}
	second, third := min(8, last), min(16, last)
	differ := p.differ(path, 0) | p.differ(path, second) | p.differ(path, third)
	for i := 24; i < last; i += 8 {
		differ |= p.differ(path, i)
	}
	return differ == 0
}

// differ is zero if the eight bytes of path from i on are those of the head.
func (p *Pattern) differ(path string, i int) uint64 {
	return lower(load(path, i)) ^ load(p.head, i)
}

package guest

import "unsafe"

// Call is one call of a hook. There is one at a time, and one Call for all.
type Call struct {
	frame frame
	used  int // of the arena

	// Lazy fields that were read: a plugin may ask for the roles again and
	// again. The frame has few fields that can grow beyond the buffer.
	fetched [4]struct {
		id    int
		value string
	}
	count int
}

var current Call

// Begin starts a call of the hook with the frame that is in the buffer. All
// that the last call handed out is void from now on.
func Begin(hook int, length uint32) *Call {
	current.frame = newFrame(view(buffer[:length]), hook)
	current.used, current.count = 0, 0
	return &current
}

// Text returns a text or list of the frame, lazy or not; empty if absent.
func (c *Call) Text(id int) string {
	text, ok := c.frame.quick(id)
	if !ok {
		text, _ = c.field(id)
	}
	return text
}

// Number returns a number of the frame, 0 if absent.
func (c *Call) Number(id int) uint64 {
	b, ok := c.field(id)
	if !ok {
		return 0
	}
	if len(b) != 8 {
		panic(malformed)
	}
	return u64(b)
}

func (c *Call) field(id int) (value string, ok bool) {
	value, lazy, ok := c.frame.field(id)
	if !lazy {
		return value, ok
	}
	for _, f := range c.fetched[:c.count] {
		if f.id == id {
			return f.value, true
		}
	}
	if value, ok = c.Get(GetField, "", id); !ok {
		panic("sdk: the host does not give a field of its own frame")
	}
	if c.count < len(c.fetched) {
		c.fetched[c.count].id, c.fetched[c.count].value = id, value
		c.count++
	}
	return value, true
}

// Get reads what the frame does not hold into the arena. What the arena has no
// room for is allocated.
func (c *Call) Get(kind uint32, name string, index int) (value string, ok bool) {
	if index < 0 {
		return "", false
	}
	dst := arena[c.used:]
	n := get(kind, name, uint32(index), dst)
	if n < 0 {
		return "", false
	}
	if int(n) > len(dst) {
		dst = make([]byte, n)
		if get(kind, name, uint32(index), dst) != n {
			panic("sdk: the host gives another length than it said")
		}
		return view(dst), true
	}
	c.used += int(n)
	return view(dst[:n]), true
}

// Log writes a line to the host's log.
func Log(level uint32, text string) { log(level, text) }

// view returns b as a string that changes as b does.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

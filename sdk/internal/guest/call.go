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
//
// A field that is where it was last is read here, without a call and without a
// check that can be done without: those are what a Go guest's time goes to.
func (c *Call) Text(id int) string {
	f, at := &c.frame, int(hints[id&0xff])
	if at != 0 && at < f.end {
		b := unsafe.Pointer(unsafe.StringData(f.b))
		head := *(*uint64)(unsafe.Add(b, at)) // id and flags, then the offset
		start, length := int(head>>32), int(*(*uint32)(unsafe.Add(b, at+8)))
		if uint32(head) == uint32(id) && start >= f.end && length <= len(f.b)-start {
			return unsafe.String((*byte)(unsafe.Add(b, start)), length)
		}
	}
	text, _ := c.field(id)
	return text
}

// Has says whether item is in a list of the frame.
func (c *Call) Has(id int, item string) bool { return Has(c.Text(id), item) }

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

// There says whether the frame has a field.
func (c *Call) There(id int) bool {
	_, _, ok := c.frame.field(id)
	return ok
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

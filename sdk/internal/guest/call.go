package guest

import "unsafe"

// Call is one call of a hook. There is one at a time, and one Call for all.
type Call struct {
	used int // of the arena

	// Lazy fields that were read: a plugin may ask for the roles again and
	// again. The frame has few fields that can grow beyond the buffer.
	fetched [4]struct {
		id    int
		value string
	}
	count int
}

var current Call

// Current is the Call of each call.
func Current() *Call { return &current }

// Begin starts a call of the hook with the frame that is in the buffer. All
// that the last call handed out is void from now on.
func Begin(hook int, length uint32) *Call {
	take(hook, length)
	current.used, current.count = 0, 0
	return &current
}

// Text returns a text or list of the frame, lazy or not; empty if absent.
func (c *Call) Text(id int) string {
	if start, length, ok := hinted(id); ok {
		return unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(&buffer), start)), length)
	}
	text, _ := c.field(id)
	return text
}

// Has says whether item is in a list of the frame. What it does most often it
// does without a jump: a Go guest jumps by way of a table.
func (c *Call) Has(id int, item string) bool {
	start, left, ok := hinted(id)
	if !ok {
		return c.has(id, item)
	}
	if left == 0 {
		return false
	}
	first, mask := word(item)
	for list := unsafe.Add(unsafe.Pointer(&buffer), start); ; {
		if left < 4 {
			panic(malformed)
		}
		n := int(*(*uint32)(list))
		if left -= 4 + n; left < 0 {
			panic(malformed)
		}
		list = unsafe.Add(list, 4)
		if n == len(item) && (*(*uint64)(list)^first)&mask == 0 && (n <= 8 || unsafe.String((*byte)(list), n) == item) {
			return true
		}
		if left == 0 {
			return false
		}
		list = unsafe.Add(list, n)
	}
}

func (c *Call) has(id int, item string) (found bool) {
	text, _ := c.field(id)
	return Has(text, item)
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

// There says whether the frame has a field.
func (c *Call) There(id int) bool {
	_, _, ok := field(id)
	return ok
}

func (c *Call) field(id int) (value string, ok bool) {
	value, lazy, ok := field(id)
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
	if uint64(index) >= 1<<32 { // or negative
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

package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// plan is what is to be made of one slot of the target.
type plan struct {
	now      time.Time
	source   []byte
	src, dst map[string][]byte // as they are; judge takes the marks and the tasks out
	tasks    []cache.Field     // of src: what waits there to be told
	untold   []cache.Field     // of them, those that were not copied before
	rawMark  []byte            // of dst
	x        Examination       // of src
}

// judge says what is to be done: nothing, same and refused are nothing to do.
func (p *plan) judge(userID string) (settled, error) {
	p.src, p.dst = maps.Clone(p.src), maps.Clone(p.dst)
	p.rawMark = p.dst[markField]
	delete(p.src, markField)
	delete(p.dst, markField)
	var err error
	if p.x, err = Examine(userID, p.src, p.now); err != nil {
		return settled{}, err
	}
	p.tasks = takeTasks(p.src)
	takeTasks(p.dst)
	m, err := decodeMark(p.rawMark)
	if err != nil {
		return settled{}, err
	}
	p.untold = p.tasks
	if m != nil && bytes.Equal(m.Source, p.source) {
		p.untold = slices.DeleteFunc(slices.Clone(p.tasks), func(f cache.Field) bool { return slices.Contains(m.Told, eventOf(f.Name)) })
	}
	over, err := p.over(p.src)
	if err != nil {
		return settled{}, err
	}
	if over {
		p.src = nil
	}
	s := settled{absent: len(p.src) == 0, sessions: p.x.Sessions}
	there := len(p.dst) > 0 || m != nil
	if m != nil && m.Until+grace.Milliseconds() <= p.now.UnixMilli() { // it is there for what it says of events alone
		if over, err = p.over(p.dst); err != nil {
			return settled{}, err
		}
		there = !over
	}
	s.result, s.why = p.compare(m, there)
	return s, nil
}

// over says whether nothing of a slot need be kept.
func (p *plan) over(all map[string][]byte) (bool, error) {
	h, err := decodeHeader(all[headerField])
	if err != nil {
		return false, err
	}
	fields, _ := dead(all, h, p.now, 0, len(all))
	return len(fields) == len(all), nil
}

var (
	errOwnSlot     = errors.New("the target has a slot of this user that was not copied from there; it stays as it is")
	errBothChanged = errors.New("the user's slot has changed in source and target since it was copied; the target's stays as it is")
)

// compare decides from what source and target hold, and what the mark says of
// the copy before.
func (p *plan) compare(m *mark, there bool) (result, error) {
	ours := m != nil && bytes.Equal(m.Source, p.source)
	switch {
	case len(p.src) == 0 && !there && len(p.untold) == 0:
		return nothing, nil
	case !there:
		return fresh, nil
	case sameFields(p.src, p.dst) && ours && len(p.untold) > 0:
		return renewed, nil
	case sameFields(p.src, p.dst):
		return same, nil
	case !ours:
		if len(p.src) == 0 {
			return nothing, nil
		}
		return refused, errOwnSlot
	case bytes.Equal(sum(p.src), m.Sum): // it was used in the target since
		return same, nil
	case bytes.Equal(sum(p.dst), m.Sum):
		if len(p.src) == 0 {
			return removed, nil
		}
		return renewed, nil
	case len(p.src) == 0 && m.Until <= p.now.UnixMilli(): // nothing that was copied counts
		return same, nil
	}
	return refused, errBothChanged
}

// ends is when the first of what the slot holds is to be swept, if ever.
func (p *plan) ends() (at time.Time, some bool) {
	h, _ := decodeHeader(p.src[headerField]) // judge has read it
	over, next := dead(p.src, h, p.now, 0, len(p.src))
	if len(over) > 0 || len(p.tasks) > 0 {
		return p.now, true
	}
	return time.UnixMilli(next), next != 0
}

// conditions are that the target's slot is as it was read.
func (p *plan) conditions() (list []cache.Field) {
	for name, value := range p.dst {
		list = append(list, cache.Field{Name: name, Value: present(value)})
	}
	list = append(list, cache.Field{Name: markField, Value: p.rawMark})
	for _, name := range append(slices.Collect(maps.Keys(p.src)), headerField) {
		if _, there := p.dst[name]; !there {
			list = append(list, cache.Field{Name: name})
		}
	}
	return list
}

// change makes the target's slot what the source's is.
func (p *plan) change() cache.Change {
	m := mark{Source: p.source, Sum: sum(p.src), Until: p.x.Until.UnixMilli()}
	for _, f := range p.tasks {
		if id := eventOf(f.Name); !slices.Contains(m.Told, id) {
			m.Told, m.Keep = append(m.Told, id), p.x.Waits.UnixMilli()
		}
	}
	c := cache.Change{If: p.conditions(), Put: []cache.Field{{Name: markField, Value: encode(m)}}, Expires: p.x.Keep}
	for name, value := range p.src {
		c.Put = append(c.Put, cache.Field{Name: name, Value: value})
	}
	c.Put = append(c.Put, p.untold...)
	for name := range p.dst {
		if _, stays := p.src[name]; !stays {
			c.Delete = append(c.Delete, name)
		}
	}
	return c
}

// removal takes the slot out of the target.
func (p *plan) removal() cache.Change {
	return cache.Change{If: p.conditions(), Delete: append(slices.Collect(maps.Keys(p.dst)), markField)}
}

// takeTasks takes out of a slot what waits to be told. It is copied once, with
// what it tells of, and compared with nothing: source and target each tell, and
// both may tell the same. The mark says of which events the target has had
// something, whatever has become of it in either since.
func takeTasks(fields map[string][]byte) (tasks []cache.Field) {
	for name, value := range fields {
		switch {
		case isTask(name):
			tasks = append(tasks, cache.Field{Name: name, Value: value})
		case !strings.HasPrefix(name, unreadField): // of what is not copied
			continue
		}
		delete(fields, name)
	}
	return tasks
}

// eventOf is the id of the event that a task is, or that its message tells of.
func eventOf(field string) string {
	key := field[len(eventField):] // as long as messageField
	return key[:min(len(key), len(EventPrefix)+publicChars)]
}

func sameFields(a, b map[string][]byte) bool { return maps.EqualFunc(a, b, bytes.Equal) }

// present is a value of a field that is there.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// sum is the SHA-256 of fields, whatever their order.
func sum(fields map[string][]byte) []byte {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		for _, part := range [][]byte{[]byte(name), fields[name]} {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			h.Write(part)
		}
	}
	return h.Sum(nil)
}

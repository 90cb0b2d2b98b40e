package near

import "time"

// Remembered says how many reads are kept, of each kind, once it has settled.
func (c *Cache) Remembered() (found, missed int) {
	c.found.CleanUp()
	c.missed.CleanUp()
	return c.found.EstimatedSize(), c.missed.EstimatedSize()
}

// Confuses says whether the answer to one question would be given to who asks
// another, had the two one key.
func (c *Cache) Confuses(slot string, fields []string, otherSlot string, otherFields []string) bool {
	now := time.Now()
	r, q := read{slot: slot, fields: fields, sent: now, wall: now.UnixNano()}, c.query(otherSlot, otherFields)
	r.stamp = c.stamp(&q)
	return c.serves(&r, &q, now, c.max)
}

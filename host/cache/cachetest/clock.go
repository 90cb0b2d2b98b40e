package cachetest

import (
	"sync/atomic"
	"time"
)

// Clock is a clock that stands still until it is moved. The zero Clock is not
// usable; make one with NewClock. Its methods may be called concurrently.
type Clock struct {
	start  time.Time
	passed atomic.Int64
}

// NewClock returns a clock that shows start.
func NewClock(start time.Time) *Clock { return &Clock{start: start} }

// Now returns what the clock shows.
func (c *Clock) Now() time.Time { return c.start.Add(time.Duration(c.passed.Load())) }

// Pass moves the clock by d.
func (c *Clock) Pass(d time.Duration) { c.passed.Add(int64(d)) }

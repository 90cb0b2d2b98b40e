package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// patience is how long a change is tried anew. It is a time and no count of
	// tries: on a busy machine one process may lose many times in a row, and who
	// has claimed a slot may stand still meanwhile.
	patience = 10 * time.Second
	// longest is the most that is waited between two tries. Who waits long loses
	// to those who do not.
	longest = 16 * time.Millisecond
)

// ErrContended is the end of Persist's patience.
var ErrContended = errors.New("others changed it all the time")

// Persist calls change, which reads a slot and changes it by compare-and-put,
// until it says that nothing is left to do, or fails. It waits a random while
// after each change that came too late, at most 16 ms, and gives up after 10 s
// with ErrContended, or when the context ends, with its error.
func Persist(ctx context.Context, change func() (over bool, err error)) error {
	end := time.Now().Add(patience)
	for wait := time.Millisecond; ; wait = min(2*wait, longest) {
		if over, err := change(); over || err != nil {
			return err
		}
		if !time.Now().Before(end) {
			return ErrContended
		}
		select {
		case <-time.After(rand.N(wait)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

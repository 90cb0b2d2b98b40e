package notify

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/authhost/authhost/host"
)

// panicError is a panic of the host while it asked a plugin or sent a message.
type panicError struct {
	what  string
	stack []byte
}

func (e *panicError) Error() string {
	return fmt.Sprintf("the host panicked: %s\n%s", e.what, e.stack)
}

// panicked is the error of a panic. What it was is told by its type alone, unless
// by the runtime: a URL may stand in it, and a secret in that.
func panicked(r any) *panicError {
	e := &panicError{fmt.Sprintf("%T", r), debug.Stack()}
	if known, ok := r.(runtime.Error); ok {
		e.what = known.Error()
	}
	return e
}

func contain(err *error) {
	if r := recover(); r != nil {
		*err = panicked(r)
	}
}

// asked is what a plugin answers. A panic is a failure as any other.
func asked(ctx context.Context, n host.Notifier, c *host.Call) (wanted []host.Fetch, err error) {
	defer contain(&err)
	return n.Notify(ctx, c)
}

// sent is what came of sending. A panic is a failure as any other.
func sent(ctx context.Context, s Sender, m host.Fetch) (got host.Fetched) {
	defer contain(&got.Cause)
	return s.Fetch(ctx, m)
}

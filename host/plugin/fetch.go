package plugin

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
)

// maxFetchTime bounds what all fetches of one call of a hook may take together.
const maxFetchTime = 5 * time.Second

// fetched is what a guest had fetched, and what it wants to know again.
type fetched struct {
	host.Fetched
	blob []byte
}

// fields adds it to the frame. The body, which whoever answers chooses, is the
// first to be left out for want of room.
func (f *fetched) fields(w *abi.FrameWriter) {
	w.Number(abi.FieldFetchStatus, uint64(f.Status))
	w.Bytes(abi.FieldFetchBlob, f.blob)
	if f.Status == 0 {
		w.Text(abi.FieldFetchError, f.Failure)
	} else {
		w.Bytes(abi.FieldFetchBody, f.Body)
	}
}

// converse puts a call to a hook, and once more after each fetch that the guest
// answers with. It has no instance while it waits for one.
func (p *Plugin) converse(ctx context.Context, hook abi.Hook, c *host.Call, a *abi.Answer) (headers []host.Header, err error) {
	defer contain(&err)
	headers, err = p.once(ctx, hook, c, nil, a)
	if err == nil && a.Code == abi.CodeFetch {
		return p.again(ctx, hook, c, a)
	}
	return headers, err
}

// again does what an answer asks to be fetched, and puts the call once more.
func (p *Plugin) again(ctx context.Context, hook abi.Hook, c *host.Call, a *abi.Answer) ([]host.Header, error) {
	within, cancel := context.WithTimeout(ctx, maxFetchTime)
	defer cancel()
	for range abi.MaxFetches {
		f := p.fetch(within, hook, *a)
		if err := ctx.Err(); err != nil {
			return nil, &notAsked{fmt.Errorf("fetching: %w", err)}
		}
		headers, err := p.once(ctx, hook, c, f, a)
		if err != nil || a.Code != abi.CodeFetch {
			return headers, err
		}
	}
	return nil, fmt.Errorf("%s answered fetch more than %d times", hook, abi.MaxFetches)
}

func (p *Plugin) fetch(ctx context.Context, hook abi.Hook, a abi.Answer) *fetched {
	f := &fetched{Fetched: p.opts.HTTP.Fetch(ctx, request(*a.Request)), blob: a.Blob}
	result := "ok"
	if f.Failure != "" {
		f.Status = 0 // what was not received as a whole is no answer
		result = f.Failure
		p.say(&p.failures, slog.LevelWarn, "plugin fetched nothing", slog.String("hook", hook.String()),
			slog.String("reason", f.Failure), slog.Any("error", f.Cause))
	}
	if m := p.opts.Counts; m != nil {
		m.PluginFetch(p.opts.Name, result)
	}
	return f
}

package session

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// MaxMessages is how many messages of one plugin wait in one slot: with as many,
// or as many bytes, it is full. What one answer of it holds may be beyond.
const MaxMessages = 32

const (
	// maxPluginBytes is that of the messages of one plugin: at the least four of
	// the largest answers.
	maxPluginBytes = 64 << 10
	// maxWaitingBytes is that of all messages of a slot, so that eight plugins
	// may be full and no other is. A slot is written as a whole by most drivers,
	// and etcd takes 1.5 MiB at a time.
	maxWaitingBytes = 512 << 10
)

// Outbox is what waits in users' slots to be told: events, of which plugins are
// to be asked, and the messages that they asked for. Each step is one change of
// one slot, on condition that the task is as it was found, and has the user on a
// due-list before: whoever dies between two steps leaves the next to others.
// Its methods may be called concurrently, on every replica.
type Outbox struct{ w *Sweeper }

// Outbox returns what waits in the slots that a sweeper looks at.
func (w *Sweeper) Outbox() *Outbox { return &Outbox{w} }

// Tasks cleans up a user's slot as a sweeper does, and returns what is to be
// done about the user now, the oldest first.
func (b *Outbox) Tasks(ctx context.Context, userID string) ([]*host.Task, error) {
	if _, err := b.w.sweep(ctx, userID); err != nil {
		return nil, err
	}
	all, err := b.w.o.Cache.All(ctx, userID)
	if err != nil {
		return nil, err
	}
	now := b.w.o.Now().UnixMilli()
	var list []*host.Task
	for name, raw := range all {
		t, next, err := task(userID, name, raw)
		if err == nil && t != nil && next <= now { // of what cannot be read the sweep has said so
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *host.Task) int { return a.Since.Compare(b.Since) })
	return list, nil
}

// Claim makes a task the caller's own until a moment; false if it was somebody
// else's before. That counts as a try.
func (b *Outbox) Claim(ctx context.Context, t *host.Task, until time.Time) (bool, error) {
	return b.postpone(ctx, t, t.Tries+1, until)
}

// Postpone gives a claimed task back, to be taken up after a moment.
func (b *Outbox) Postpone(ctx context.Context, t *host.Task, until time.Time) error {
	_, err := b.postpone(ctx, t, t.Tries, until)
	return err
}

func (b *Outbox) postpone(ctx context.Context, t *host.Task, tries int, until time.Time) (bool, error) {
	raw, err := postponed(t, tries, cache.DueMillis(until))
	if err != nil {
		return false, err
	}
	name := fieldOf(t)
	applied, err := b.change(ctx, t.UserID, cache.Change{
		If:      []cache.Field{{Name: name, Value: t.Raw}},
		Put:     []cache.Field{{Name: name, Value: raw}},
		Expires: t.Since.Add(keepWaiting),
	}, until)
	if applied {
		t.Raw, t.Tries, t.Until = raw, tries, until
	}
	return applied, err
}

// Replace puts the messages that an event is to be told by in its place, all of
// them the caller's own until a moment, by their keys and plugins; false if
// somebody else did. With again the event stays for then, for plugins that were
// not asked.
func (b *Outbox) Replace(ctx context.Context, t *host.Task, messages []*host.Task, until, again time.Time) (bool, error) {
	c := cache.Change{If: []cache.Field{{Name: fieldOf(t), Value: t.Raw}}, Expires: t.Since.Add(keepWaiting)}
	if again.IsZero() {
		c.Delete = []string{fieldOf(t)}
	} else {
		raw, err := postponed(t, t.Tries, cache.DueMillis(again))
		if err != nil {
			return false, err
		}
		c.Put = []cache.Field{{Name: fieldOf(t), Value: raw}}
	}
	for _, m := range messages {
		record := message{Plugin: m.Plugin, Method: m.Message.Method, URL: m.Message.URL, Body: m.Message.Body,
			At: t.Since.UnixMilli(), Tries: 1, Next: cache.DueMillis(until)}
		for _, h := range m.Message.Headers {
			record.Header = append(record.Header, [2]string{h.Name, h.Value})
		}
		m.Raw, m.UserID, m.Since, m.Tries, m.Until = encode(record), t.UserID, t.Since, 1, until
		c.Put = append(c.Put, cache.Field{Name: fieldOf(m), Value: m.Raw})
	}
	if len(c.Put) == 0 {
		return b.w.o.Cache.Change(ctx, t.UserID, c)
	}
	if !again.IsZero() && (len(messages) == 0 || again.Before(until)) {
		until = again
	}
	return b.change(ctx, t.UserID, c, until)
}

// Full says of which plugins so many messages about a user wait that they are
// not to be asked for more. Each is counted by itself: receivers that do not
// answer keep nobody but their own plugin from telling.
func (b *Outbox) Full(ctx context.Context, userID string) (full func(plugin string) bool, err error) {
	all, err := b.w.o.Cache.All(ctx, userID)
	if err != nil {
		return nil, err
	}
	whole, messages, bytes := 0, map[string]int{}, map[string]int{}
	for name, raw := range all {
		if !strings.HasPrefix(name, messageField) {
			continue
		}
		whole += len(name) + len(raw)
		if m, err := decodeMessage(raw); err == nil {
			messages[m.Plugin]++
			bytes[m.Plugin] += len(name) + len(raw)
		}
	}
	return func(plugin string) bool {
		return messages[plugin] >= MaxMessages || bytes[plugin] >= maxPluginBytes || whole >= maxWaitingBytes
	}, nil
}

// Drop takes a task out, for it was done or given up; false if somebody else
// did.
func (b *Outbox) Drop(ctx context.Context, t *host.Task) (bool, error) {
	name := fieldOf(t)
	return b.w.o.Cache.Change(ctx, t.UserID, cache.Change{If: []cache.Field{{Name: name, Value: t.Raw}}, Delete: []string{name}})
}

// change makes a change that leaves work to whoever looks at the user after a
// moment.
func (b *Outbox) change(ctx context.Context, userID string, c cache.Change, next time.Time) (bool, error) {
	at, err := putDue(ctx, b.w.o.Cache, userID, next)
	if err != nil {
		return false, err
	}
	applied, err := b.w.o.Cache.Change(ctx, userID, c)
	if now := b.w.o.Now(); applied && passed(at, now) {
		_, err = putDue(ctx, b.w.o.Cache, userID, now)
	}
	return applied, err
}

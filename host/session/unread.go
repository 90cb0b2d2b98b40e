package session

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// What waits to be told and cannot be read may be of a later version, which other
// replicas run already, or torn. It has no age that could be read either: so the
// sweeper that finds it first says so, writes beside it until when it is kept, and
// leaves it to those who can read it. No version keeps a task for longer than that
// since its end, and none gives it another name; what is still there
// then is of no use to anybody, and is removed.

// unread names the fields of a slot that a sweeper finds for the first time to
// be tasks that it cannot read.
func unread(all map[string][]byte) (names []string) {
	for name, raw := range all {
		if !isTask(name) || len(names) == sweepMost {
			continue
		}
		if _, marked := all[unreadField+name]; marked {
			continue
		}
		if _, _, err := task("", name, raw); err != nil {
			names = append(names, name)
		}
	}
	return names
}

// keepUnread makes a change of a slot, which was read as all, say until when
// tasks are kept that cannot be read.
func keepUnread(c *cache.Change, all map[string][]byte, names []string, until time.Time) {
	for _, name := range names {
		mark := unreadField + name
		c.If = append(c.If, cache.Field{Name: name, Value: present(all[name])}, cache.Field{Name: mark})
		c.Put = append(c.Put, cache.Field{Name: mark, Value: encode(until.UnixMilli())})
		c.Expires = until.Add(grace)
	}
}

// unreadGone says whether a task is not kept any longer, because it could not be
// read until then and cannot be now.
func unreadGone(all map[string][]byte, name string, raw []byte, until func(int64) bool) bool {
	kept, err := decodeMoment(all[unreadField+name])
	if err != nil || kept == 0 {
		return false
	}
	_, _, err = task("", name, raw)
	return err != nil && until(kept)
}

// markGone says whether what is said of a task that could not be read is not
// needed any longer.
func markGone(all map[string][]byte, mark string, raw []byte, until func(int64) bool) bool {
	kept, err := decodeMoment(raw)
	if _, there := all[strings.TrimPrefix(mark, unreadField)]; err != nil || !there {
		return true
	}
	return until(kept)
}

// sayUnread says what was done with tasks that cannot be read, of which some are
// kept and some were among what need not be kept any longer.
func (w *Sweeper) sayUnread(ctx context.Context, userID string, all map[string][]byte, kept []string, over []cache.Field) {
	say := func(text string, names []string) {
		if len(names) == 0 {
			return
		}
		_, _, err := task("", names[0], all[names[0]])
		w.o.Logger.LogAttrs(ctx, slog.LevelError, text, slog.String("user_id", userID), slog.Any("fields", names), slog.Any("error", err))
	}
	say("what is to be told of a user cannot be read: it is kept for 8 days, for replicas of another version", kept)
	var removed []string
	for _, f := range over {
		if isTask(f.Name) {
			removed = append(removed, f.Name)
		}
	}
	say("what was to be told of a user was removed: nobody could read it for 8 days", removed)
}

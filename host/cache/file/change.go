package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// Change implements cache.Driver. It returns once the change is on disk. One
// that only asks whether conditions hold takes no lock: whoever makes tokens up
// keeps nobody waiting.
func (d *Driver) Change(ctx context.Context, slot string, c cache.Change) (applied bool, err error) {
	if err := c.Check(slot); err != nil {
		return false, err
	}
	if len(c.Put)+len(c.Delete) == 0 && c.Expires.IsZero() {
		return d.confirm(ctx, slot, &c)
	}
	err = d.update(ctx, slot, c.Expires, func(fields map[string][]byte) (holds, changed bool, err error) {
		if applied = c.Holds(fields); applied {
			changed = c.Apply(fields)
		}
		return applied, changed, nil
	})
	return applied && err == nil, err
}

// confirm says whether conditions hold, once what it judges by is on disk.
func (d *Driver) confirm(ctx context.Context, slot string, c *cache.Change) (holds bool, err error) {
	r, err := d.load(ctx, slot)
	if err != nil {
		return false, err
	}
	var fields map[string][]byte
	if r != nil {
		fields = r.Fields.All()
	}
	if !c.Holds(fields) {
		return false, nil
	}
	// Who wrote what was found may have been killed before it synced this.
	shard, name := d.place(slot)
	if err := syncDir(d.dir(shard)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("cache file: slot %s: %w", name, err)
	}
	return true, nil
}

// Add implements cache.Driver. It returns once the sum is on disk.
func (d *Driver) Add(ctx context.Context, slot, field string, delta int64, expires time.Time) (sum int64, err error) {
	if err := cache.CheckAdd(slot, field, expires); err != nil {
		return 0, err
	}
	err = d.update(ctx, slot, expires, func(fields map[string][]byte) (holds, changed bool, err error) {
		sum, fields[field], err = cache.Sum(fields[field], delta)
		return true, true, err
	})
	if err != nil {
		return 0, err
	}
	return sum, nil
}

// update changes a slot while nobody else can. change says whether the slot is
// to be as it left the fields, and whether that differs from what it found.
func (d *Driver) update(ctx context.Context, slot string, until time.Time, change func(fields map[string][]byte) (holds, changed bool, err error)) error {
	shard, name := d.place(slot)
	l, err := d.lockShard(ctx, shard)
	if err != nil {
		return fmt.Errorf("cache file: lock of shard %s: %w", filepath.Base(d.dir(shard)), err)
	}
	defer l.unlock()
	r, err := d.load(ctx, slot)
	if err != nil {
		return err
	}
	fields, expires := map[string][]byte{}, cache.Millis(until)
	if r != nil {
		fields, expires = r.Fields.All(), max(expires, r.Expires)
	}
	holds, changed, err := change(fields)
	if err != nil || !holds {
		return err
	}
	changed = changed || r != nil && expires != r.Expires
	if err := d.store(l, d.dir(shard), name, slot, expires, fields, changed); err != nil {
		return fmt.Errorf("cache file: slot %s: %w", name, err)
	}
	return nil
}

// store puts a changed slot on disk, and tells. Where nothing changed it still
// syncs the directory: who wrote what was found may have been killed before it
// did.
func (d *Driver) store(l *lock, dir, name, slot string, expires int64, fields map[string][]byte, changed bool) error {
	if !changed {
		return syncDir(dir)
	}
	if err := l.intend(slot); err != nil {
		return err
	}
	if len(fields) > 0 {
		b, err := encode(slot, expires, fields)
		if err != nil {
			return err
		}
		if err := d.write(dir, name, b); err != nil {
			return err
		}
	} else {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return d.tell(l, slot)
}

// write makes a file in one step that a crash cannot split.
func (d *Driver) write(dir, name string, content []byte) (err error) {
	temporary := filepath.Join(dir, newPrefix+strconv.FormatUint(rand.Uint64(), 16))
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temporary, filepath.Join(dir, name))
	}
	if err != nil {
		_ = os.Remove(temporary) // the sweeper tries again
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

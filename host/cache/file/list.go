package file

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// List implements cache.Driver. Pages follow the names of the files, shard by
// shard, and next is the name of the last file of the page before, or of the
// shard that comes next. With an error that names slots which cannot be read
// come the others of the page all the same, and where the next one begins.
func (d *Driver) List(ctx context.Context, next string, most int) (slots []string, following string, err error) {
	after, err := hex.DecodeString(next)
	if err != nil || len(after) > 32 {
		return nil, "", fmt.Errorf("cache file: no list goes on from %.80q", next)
	}
	if len(after) == 0 {
		next = "00"
		after = []byte{0}
	}
	most = max(1, most)
	var problems []error
	for shard := int(after[0]); shard < shards; shard++ {
		names, err := d.names(ctx, byte(shard))
		if err != nil {
			return nil, "", fmt.Errorf("cache file: shard %02x: %w", shard, err)
		}
		for _, name := range names {
			if name <= next {
				continue
			}
			if len(slots) == most {
				return slots, next, errors.Join(problems...)
			}
			if err := ctx.Err(); err != nil {
				return nil, "", err
			}
			next = name
			slot, err := d.listed(name)
			if err != nil {
				problems = append(problems, fmt.Errorf("cache file: slot %s: %w", name, err))
			}
			if slot != "" {
				slots = append(slots, slot)
			}
		}
	}
	return slots, "", errors.Join(problems...)
}

// names lists the slots' files of a shard, in order. The shard is locked: what
// is written over while a directory is read may be left out by file systems.
func (d *Driver) names(ctx context.Context, shard byte) (names []string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(d.dir(shard)); errors.Is(err, fs.ErrNotExist) {
		return nil, d.there()
	}
	l, err := d.lockShard(ctx, shard)
	if err != nil {
		return nil, err
	}
	defer l.unlock()
	entries, err := os.ReadDir(d.dir(shard))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if len(e.Name()) == 64 {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// listed is the key of the slot in a file, empty if it has expired or is gone.
func (d *Driver) listed(name string) (string, error) {
	r, err := d.read(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", d.there()
	}
	if err != nil {
		return "", err
	}
	if _, own := d.place(string(r.Slot)); own != name {
		return "", errOtherSlot
	}
	if r.Expires <= d.o.Now().UnixMilli() {
		return "", nil
	}
	return string(r.Slot), nil
}

package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// Options says where slots are kept. Only Dir must be set.
type Options struct {
	Dir    string           // made if it is missing; may be shared
	Now    func() time.Time // the clock slots expire by; nil: the system's
	Logger *slog.Logger     // of the sweeper; nil: none

	// LockTimeout is how long a change waits for another process, where the
	// context does not end sooner; 0: 2 seconds.
	LockTimeout time.Duration

	SweepInterval time.Duration // between two passes; 0: 10 seconds
	SweepRows     int           // files looked at in one pass; 0: 2000
	SweepTime     time.Duration // that one pass may take; 0: 200 milliseconds
}

// Driver is a cache.Driver on a directory. Open makes one.
type Driver struct {
	o            Options
	root, format string // DIR/slots, and its file format
	locks        [shards]chan struct{}
	sweep        sweeper
}

const (
	shards     = 256
	formatFile = "format"
	lockFile   = "lock"
	newPrefix  = "new-"
)

// Open makes or opens the store in a directory.
func Open(o Options) (*Driver, error) {
	if o.Dir == "" {
		return nil, errors.New("cache file: no directory is given")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.LockTimeout = either(o.LockTimeout, 2*time.Second)
	o.SweepInterval = either(o.SweepInterval, 10*time.Second)
	o.SweepRows = either(o.SweepRows, 2000)
	o.SweepTime = either(o.SweepTime, 200*time.Millisecond)
	d := &Driver{o: o, root: filepath.Join(o.Dir, "slots")}
	d.format = filepath.Join(d.root, formatFile)
	for i := range d.locks {
		d.locks[i] = make(chan struct{}, 1)
	}
	if err := d.prepare(); err != nil {
		return nil, fmt.Errorf("cache file: %w", err)
	}
	return d, nil
}

func either[T comparable](given, otherwise T) T {
	var zero T
	if given == zero {
		return otherwise
	}
	return given
}

// prepare makes the directory a store, or finds that it is one of this format.
func (d *Driver) prepare() error {
	if err := os.MkdirAll(d.root, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(d.root, 0o700); err != nil {
		return err
	}
	err := d.there()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.write(d.root, formatFile, []byte(formatLine)); err != nil {
		return err
	}
	return syncDir(d.o.Dir)
}

// there says whether the store is still where it was: without this, a volume
// that was unmounted would look like one on which nobody is logged in.
func (d *Driver) there() error {
	b, err := os.ReadFile(d.format)
	if err == nil && string(b) != formatLine {
		err = fmt.Errorf("%s is of a format that this version does not know", d.root)
	}
	return err
}

// Get implements cache.Driver. It takes no lock.
func (d *Driver) Get(ctx context.Context, slot string, fields ...string) ([][]byte, error) {
	r, err := d.load(ctx, slot)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(fields))
	if r != nil {
		for i, name := range fields {
			values[i] = r.get(name)
		}
	}
	return values, nil
}

// All implements cache.Driver. It takes no lock.
func (d *Driver) All(ctx context.Context, slot string) (map[string][]byte, error) {
	r, err := d.load(ctx, slot)
	if err != nil || r == nil {
		return map[string][]byte{}, err
	}
	return r.all(), nil
}

// Ping implements cache.Driver: it says whether the store is still there.
func (d *Driver) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.there(); err != nil {
		return fmt.Errorf("cache file: %w", err)
	}
	return nil
}

// Close implements cache.Driver. No file is open between two calls.
func (d *Driver) Close() error { return nil }

// Change implements cache.Driver. It returns once the change is on disk.
func (d *Driver) Change(ctx context.Context, slot string, c cache.Change) (bool, error) {
	if err := c.Check(slot); err != nil {
		return false, err
	}
	shard, name := d.place(slot)
	unlock, err := d.lock(ctx, shard)
	if err != nil {
		return false, fmt.Errorf("cache file: lock of shard %s: %w", filepath.Base(d.dir(shard)), err)
	}
	defer unlock()
	r, err := d.load(ctx, slot)
	if err != nil {
		return false, err
	}
	fields, expires := map[string][]byte{}, cache.Millis(c.Expires)
	if r != nil {
		fields, expires = r.all(), max(expires, r.Expires)
	}
	if !c.Holds(fields) {
		return false, nil
	}
	changed := c.Apply(fields)
	changed = changed || r != nil && expires != r.Expires
	if err := d.store(shard, name, slot, expires, fields, changed); err != nil {
		return false, fmt.Errorf("cache file: slot %s: %w", name, err)
	}
	return true, nil
}

// store puts a changed slot on disk. Where nothing changed it still syncs the
// directory: who wrote what was found may have been killed before it did.
func (d *Driver) store(shard byte, name, slot string, expires int64, fields map[string][]byte, changed bool) error {
	dir := d.dir(shard)
	if changed && len(fields) > 0 {
		b, err := encode(slot, expires, fields)
		if err != nil {
			return err
		}
		return d.write(dir, name, b)
	}
	if changed {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(dir)
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

// errOtherSlot is a file under a name that is not its slot's.
var errOtherSlot = errors.New("the file holds another slot")

// load reads a slot; nil if it is absent or has expired.
func (d *Driver) load(ctx context.Context, slot string) (*record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	shard, name := d.place(slot)
	r, err := d.read(filepath.Join(d.dir(shard), name))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(d.format); err != nil { // see there
			return nil, fmt.Errorf("cache file: the store is gone: %w", err)
		}
		return nil, nil
	}
	if err == nil && string(r.Slot) != slot {
		err = errOtherSlot
	}
	if err != nil {
		return nil, fmt.Errorf("cache file: slot %s: %w", name, err)
	}
	if r.Expires <= d.o.Now().UnixMilli() {
		return nil, nil
	}
	return r, nil
}

func (d *Driver) read(path string) (*record, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decode(b)
}

// place says where a slot is kept: in which shard, under which name.
func (d *Driver) place(slot string) (shard byte, name string) {
	sum := sha256.Sum256([]byte(slot))
	return sum[0], hex.EncodeToString(sum[:])
}

func (d *Driver) dir(shard byte) string {
	return d.root + string(filepath.Separator) + hex.EncodeToString([]byte{shard})
}

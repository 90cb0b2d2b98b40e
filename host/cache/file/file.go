package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/authhost/authhost/host/cache"
	"golang.org/x/sys/unix"
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
	turns        [shards]turn
	due          string // DIR/due
	dueTurns     [cache.DueLists]turn
	journal      journal
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
	d := &Driver{o: o, root: filepath.Join(o.Dir, "slots"), due: filepath.Join(o.Dir, "due")}
	d.format = filepath.Join(d.root, formatFile)
	for i := range d.turns {
		d.turns[i] = make(turn, 1)
	}
	for i := range d.dueTurns {
		d.dueTurns[i] = make(turn, 1)
	}
	d.journal = journal{dir: filepath.Join(o.Dir, "journal"), turn: make(turn, 1)}
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
	for _, dir := range []string{d.root, d.due, d.journal.dir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			return err
		}
	}
	err := d.there()
	if errors.Is(err, fs.ErrNotExist) {
		err = d.write(d.root, formatFile, []byte(formatLine))
	}
	if err != nil {
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
			values[i] = r.Fields.Get(name)
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
	return r.Fields.All(), nil
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

// errOtherSlot is a file under a name that is not its slot's.
var errOtherSlot = errors.New("the file holds another slot")

// load reads a slot; nil if it is absent or has expired.
func (d *Driver) load(ctx context.Context, slot string) (*record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	_, name := d.place(slot)
	r, err := d.read(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		var format unix.Stat_t
		if err := unix.Lstat(d.format, &format); err != nil { // see there
			return nil, fmt.Errorf("cache file: the store is gone: %s: %w", d.format, err)
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
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return decode(b)
}

// place says where a slot is kept: in which shard, under which name.
func (d *Driver) place(slot string) (shard byte, name string) {
	var room [64]byte
	sum := sha256.Sum256(append(room[:0], slot...))
	hex.Encode(room[:], sum[:])
	return sum[0], string(room[:])
}

// path returns the path of the slot of this name.
func (d *Driver) path(name string) string {
	const separator = string(filepath.Separator)
	return d.root + separator + name[:2] + separator + name
}

func (d *Driver) dir(shard byte) string {
	return d.root + string(filepath.Separator) + hex.EncodeToString([]byte{shard})
}

package file

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// dueLine is the first line of a due-list member's file, whose body is the
// member. Where it stands is in the file's name alone, so that a list is read
// without opening a file, and a change is a rename:
//
//	DIR/due/NN/X/AT-UNTIL-HASH
//
// NN is the list, X the first digit of HASH, the member's SHA-256; AT and
// UNTIL are those of cache.Due, in 16 hexadecimal digits.
const dueLine = "authhost due 1\n"

// entry is one member's file.
type entry struct {
	cache.Due
	hash string
}

func (e entry) name() string { return fmt.Sprintf("%016x-%016x-%s", e.At, e.Until, e.hash) }

func parseEntry(name string) (e entry, ok bool) {
	if len(name) != 34+2*sha256.Size || name[16] != '-' || name[33] != '-' {
		return e, false
	}
	at, err1 := strconv.ParseInt(name[:16], 16, 64)
	until, err2 := strconv.ParseInt(name[17:33], 16, 64)
	return entry{cache.Due{At: at, Until: until}, name[34:]}, err1 == nil && err2 == nil
}

func (d *Driver) list(list int) string { return filepath.Join(d.due, fmt.Sprintf("%02d", list)) }

// PutDue implements cache.Driver. It returns once the member is on disk.
func (d *Driver) PutDue(ctx context.Context, list int, member string, at time.Time) error {
	return d.changeDue(ctx, list, member, func(l *lock, dir string, e entry, there bool) error {
		now := entry{e.Put(cache.DueMillis(at)), e.hash}
		if err := l.notBefore(now.Moment()); err != nil {
			return err
		}
		if !there {
			if err := mkdir(dir); err != nil {
				return err
			}
			return d.write(dir, now.name(), frame(dueLine, []byte(member)))
		}
		if err := rename(dir, e, now); err != nil {
			return err
		}
		return syncDir(dir) // also where it stood so: it may not be on disk yet
	})
}

// DropDue implements cache.Driver. A power cut may bring the member back.
func (d *Driver) DropDue(ctx context.Context, list int, member string, until time.Time) error {
	return d.changeDue(ctx, list, member, func(_ *lock, dir string, e entry, there bool) error {
		if !there {
			return nil
		}
		now := entry{e.Drop(cache.DueMillis(until)), e.hash}
		if now.Due == (cache.Due{}) {
			return os.Remove(filepath.Join(dir, e.name()))
		}
		return rename(dir, e, now)
	})
}

// changeDue changes one member while nobody else can.
func (d *Driver) changeDue(ctx context.Context, list int, member string, change func(l *lock, dir string, e entry, there bool) error) error {
	if err := cache.CheckDue(list, member); err != nil {
		return err
	}
	l, err := d.lock(ctx, d.dueTurns[list], d.list(list))
	if err == nil {
		defer l.unlock()
		sum := sha256.Sum256([]byte(member))
		e := entry{hash: hex.EncodeToString(sum[:])}
		dir := filepath.Join(d.list(list), e.hash[:1])
		var entries []entry
		if entries, err = readDue(dir, func(o entry) bool { return o.hash == e.hash }); err == nil {
			if len(entries) > 0 {
				e = entries[0]
			}
			err = change(l, dir, e, len(entries) > 0)
		}
	}
	if err != nil {
		return fmt.Errorf("cache file: due-list %d: %w", list, err)
	}
	return nil
}

// LeaseDue implements cache.Driver. A member that cannot be read is an error
// once nothing else is due. A power cut may end leases early.
func (d *Driver) LeaseDue(ctx context.Context, list int, now, until time.Time, most int) (members []string, err error) {
	if err := cache.CheckLease(list, now, until); err != nil {
		return nil, err
	}
	l, err := d.lock(ctx, d.dueTurns[list], d.list(list))
	if err == nil {
		defer l.unlock()
		members, err = d.lease(l, list, cache.DueMillis(now), cache.DueMillis(until), max(1, most))
	}
	if err != nil {
		return nil, fmt.Errorf("cache file: due-list %d: %w", list, err)
	}
	return members, nil
}

// lease leases from a list that is locked.
func (d *Driver) lease(l *lock, list int, now, until int64, most int) (members []string, err error) {
	if earliest, known := l.earliest(); known && earliest > now {
		return nil, nil
	}
	earliest := int64(math.MaxInt64)
	var due []entry
	for x := range 16 {
		entries, err := readDue(filepath.Join(d.list(list), strconv.FormatInt(int64(x), 16)), func(e entry) bool {
			if e.Moment() > now {
				earliest = min(earliest, e.Moment())
			}
			return e.Moment() <= now
		})
		if err != nil {
			return nil, err
		}
		due = append(due, entries...)
	}
	slices.SortFunc(due, func(a, b entry) int { return cmp.Compare(a.Moment(), b.Moment()) })
	for _, e := range due {
		if len(members) == most {
			earliest = min(earliest, e.Moment())
			break
		}
		dir := filepath.Join(d.list(list), e.hash[:1])
		member, problem := readMember(filepath.Join(dir, e.name()), e.hash)
		if problem != nil {
			err = errors.Join(err, fmt.Errorf("member %s: %w", e.hash, problem))
			earliest = min(earliest, e.Moment())
			continue
		}
		if err := rename(dir, e, entry{cache.Due{Until: until}, e.hash}); err != nil {
			return nil, err
		}
		members, earliest = append(members, member), min(earliest, until)
	}
	if len(members) > 0 {
		err = nil
	}
	return members, errors.Join(err, l.setEarliest(earliest))
}

// ListDue implements cache.DueLister. A page is one of a list's 16 directories,
// and next the number of the one that it is.
func (d *Driver) ListDue(ctx context.Context, list int, next string) (members []cache.DueMember, following string, err error) {
	x := uint64(0)
	if err = cache.CheckList(list); err == nil && next != "" {
		x, err = strconv.ParseUint(next, 16, 4)
	}
	var entries []entry
	dir := filepath.Join(d.list(list), strconv.FormatUint(x, 16))
	if err == nil {
		entries, err = d.duePage(ctx, list, dir)
	}
	if err != nil {
		return nil, "", fmt.Errorf("cache file: due-list %d: %w", list, err)
	}
	var problems []error
	for _, e := range entries {
		member, err := readMember(filepath.Join(dir, e.name()), e.hash)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was given out or dropped since
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("cache file: due-list %d: member %s: %w", list, e.hash, err))
			continue
		}
		members = append(members, cache.DueMember{Name: member, At: time.UnixMilli(e.Moment())})
	}
	if x < 15 {
		following = strconv.FormatUint(x+1, 16)
	}
	return members, following, errors.Join(problems...)
}

// duePage reads the names in a directory of a list.
func (d *Driver) duePage(ctx context.Context, list int, dir string) ([]entry, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, d.there()
	}
	l, err := d.lock(ctx, d.dueTurns[list], d.list(list))
	if err != nil {
		return nil, err
	}
	defer l.unlock()
	return readDue(dir, func(entry) bool { return true })
}

// The lock of a due-list holds a moment before which no member is due, so that
// to ask an idle list costs the same whatever it holds. Anything else than
// such a moment says nothing.

func (l *lock) earliest() (moment int64, known bool) {
	b := make([]byte, 17)
	if n, err := l.f.ReadAt(b, 0); n != len(b) || err != nil || b[16] != '\n' {
		return 0, false
	}
	moment, err := strconv.ParseInt(string(b[:16]), 16, 64)
	return moment, err == nil
}

// notBefore makes sure that the moment is not after one at which a member is
// about to be due: on disk before that is.
func (l *lock) notBefore(moment int64) error {
	if earliest, known := l.earliest(); !known || earliest <= moment {
		return nil
	}
	if err := l.setEarliest(moment); err != nil {
		return err
	}
	return l.f.Sync()
}

func (l *lock) setEarliest(moment int64) error {
	if earliest, known := l.earliest(); known && earliest == moment {
		return nil
	}
	_, err := fmt.Fprintf(io.NewOffsetWriter(l.f, 0), "%016x\n", moment)
	return err
}

// readDue lists wanted members in a directory of a list that is locked: what
// was being written there is nobody's.
func readDue(dir string, wanted func(entry) bool) (entries []entry, err error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	for _, name := range names {
		if e, ok := parseEntry(name); ok {
			if wanted(e) {
				entries = append(entries, e)
			}
		} else if strings.HasPrefix(name, newPrefix) {
			_ = os.Remove(filepath.Join(dir, name)) // the next one tries again
		}
	}
	return entries, err
}

func readMember(path, hash string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	member, err := unframe(dueLine, b)
	if err != nil {
		return "", err
	}
	if sum := sha256.Sum256(member); hex.EncodeToString(sum[:]) != hash {
		return "", errors.New("the file holds another member")
	}
	return string(member), nil
}

// rename moves a member to where it stands now.
func rename(dir string, before, now entry) error {
	if before == now {
		return nil
	}
	return os.Rename(filepath.Join(dir, before.name()), filepath.Join(dir, now.name()))
}

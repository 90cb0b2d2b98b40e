package daemon

import (
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"time"

	"github.com/authhost/authhost/host/plugin"
)

// Files are polled, not subscribed to: stat works the same on every file
// system, through every symlink (a mounted ConfigMap swaps one) and for a
// file that is not there yet; RATIONALE.md says more.
const (
	pollInterval = 200 * time.Millisecond
	// racy is how long after its last modification a file is read again at
	// every poll: two writes within one tick of the file system's clock look
	// the same to stat.
	racy = 2 * time.Second
)

// watchedFile is what is known of one file.
type watchedFile struct {
	stamp   fileStamp
	hash    [sha256.Size]byte // of the content last reported
	pending bool              // changed; to be read once two polls see the same
}

// fileStamp tells versions of a file apart as far as stat can.
type fileStamp struct {
	present bool
	size    int64
	modTime time.Time
	info    os.FileInfo // for os.SameFile alone
}

func (a fileStamp) same(b fileStamp) bool {
	if a.present != b.present || a.size != b.size || !a.modTime.Equal(b.modTime) {
		return false
	}
	return !a.present || os.SameFile(a.info, b.info)
}

func stampOf(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{present: true, size: info.Size(), modTime: info.ModTime(), info: info}
}

// maxFile is how many bytes there may be in a file that is watched: the largest
// ones are modules.
const maxFile = plugin.MaxModule

// head reads a file, or so much of one that is too large that this can be seen.
func head(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	return content, errors.Join(err, f.Close())
}

// watcher notices files whose content is another than the one it was told of
// last. It belongs to one goroutine.
type watcher struct {
	files map[string]*watchedFile
	now   func() time.Time
}

// watch sets the files to look at. Those that were watched before keep what
// is known of them.
func (w *watcher) watch(paths []string) {
	next := make(map[string]*watchedFile, len(paths))
	for _, p := range paths {
		if f, ok := w.files[p]; ok {
			next[p] = f
		} else {
			next[p] = &watchedFile{pending: true}
		}
	}
	w.files = next
}

// applied records that content of path was taken up, well or not: only other
// content will be reported. It is called with what was read before it is used,
// nil for a file that is not there.
func (w *watcher) applied(path string, content []byte) {
	if w.files == nil {
		w.files = map[string]*watchedFile{}
	}
	if w.files[path] == nil {
		w.files[path] = &watchedFile{pending: true}
	}
	w.files[path].hash = [sha256.Size]byte{}
	if content != nil {
		w.files[path].hash = sha256.Sum256(content)
	}
}

// poll returns the paths whose content changed and has stood still since the
// poll before. A file that is missing or cannot be read has not changed.
func (w *watcher) poll() []string {
	var changed []string
	for path, f := range w.files {
		stamp := stampOf(path)
		if !stamp.same(f.stamp) {
			f.stamp, f.pending = stamp, true
			continue
		}
		if !f.pending || !stamp.present {
			continue
		}
		content, err := head(path)
		if err != nil || !stampOf(path).same(stamp) {
			continue
		}
		f.pending = w.now().Sub(stamp.modTime) < racy
		if hash := sha256.Sum256(content); hash != f.hash {
			f.hash = hash
			changed = append(changed, path)
		}
	}
	return changed
}

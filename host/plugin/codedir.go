package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
)

const (
	// maxUnused is how long an entry is kept that no load used, maxKept how
	// many bytes are kept, of all processes together.
	maxUnused = 30 * 24 * time.Hour
	maxKept   = 1 << 30

	stagePrefix = "stage-"
	// maxStage is after what time a stage is one of a process that ended in the
	// middle: no module takes so long to compile.
	maxStage = time.Hour
)

// codeDir keeps compiled code on disk, and in bounds.
//
// The engine reads and writes files by names that only it can tell, in a
// directory that it is told once. That is the stage, a directory of this
// process alone and there only while a module is compiled: what is kept of the
// module is put there, if it still is what was written, and what the engine
// adds is taken from there. So nothing is run that was not looked at just
// before, and nothing need be looked at that is not going to be run.
//
// An entry is one file, so that no other process meets a half of one. Its name
// tells the module, the engine's name and the sum of what is in it, its time of
// modification when it was used last.
type codeDir struct {
	path   string
	stage  string
	engine string // the engine's own directory, within the stage
}

// entry is the name of an entry, in parts.
type entry struct{ key, name, sum string }

func (e entry) String() string { return e.key + "." + e.name + "." + e.sum }

// in says whether the engine would take one of the list for this one.
func (e entry) in(list []entry) bool {
	return slices.ContainsFunc(list, func(other entry) bool { return other.name == e.name })
}

func parseEntry(s string) (e entry, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return e, false
	}
	return entry{parts[0], parts[1], parts[2]}, true
}

// openCodeDir also returns the engine's cache, which is to be used between
// offer and clear only. What is out of bounds is removed.
func openCodeDir(path string) (*codeDir, wazero.CompilationCache, error) {
	stage, err := os.MkdirTemp(path, stagePrefix)
	if err != nil {
		return nil, nil, err
	}
	d := &codeDir{path: path, stage: stage}
	code, err := wazero.NewCompilationCacheWithDir(stage)
	if err != nil {
		return nil, nil, errors.Join(err, d.clear())
	}
	list, err := os.ReadDir(stage)
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("the engine made %d directories, not one", len(list))
	}
	if err != nil {
		return nil, nil, errors.Join(err, d.clear())
	}
	d.engine = list[0].Name()
	return d, code, errors.Join(d.trim(), d.clear())
}

// offer sets the stage for a module, and returns what was kept of it. What has
// been spoilt is removed.
func (d *codeDir) offer(module []byte) (kept []entry, err error) {
	if err := os.MkdirAll(d.staged(""), 0o700); err != nil {
		return nil, err
	}
	list, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	key := d.key(module)
	for _, file := range list {
		e, ok := parseEntry(file.Name())
		if !ok || e.key != key || e.in(kept) {
			continue
		}
		path := filepath.Join(d.path, file.Name())
		code, err := os.ReadFile(path)
		if err != nil || sum(code) != e.sum {
			if err := remove(path); err != nil {
				return nil, err
			}
			continue
		}
		if os.Link(path, d.staged(e.name)) != nil { // not every file system can, a full disk can
			if err := os.WriteFile(d.staged(e.name), code, 0o600); err != nil {
				return nil, err
			}
		}
		now := time.Now()
		if err := os.Chtimes(path, now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		kept = append(kept, e)
	}
	return kept, nil
}

// withdraw undoes an offer.
func (d *codeDir) withdraw(kept []entry) (err error) {
	for _, e := range kept {
		err = errors.Join(err, remove(d.staged(e.name)), remove(filepath.Join(d.path, e.String())))
	}
	return err
}

// keep takes from the stage what the engine has added to what was offered, and
// makes room for it.
func (d *codeDir) keep(module []byte, offered []entry) error {
	list, err := os.ReadDir(d.staged(""))
	if err != nil {
		return err
	}
	added := false
	for _, file := range list {
		e := entry{key: d.key(module), name: file.Name()}
		if e.in(offered) {
			continue
		}
		path := d.staged(e.name)
		code, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		e.sum = sum(code)
		if err := os.Rename(path, filepath.Join(d.path, e.String())); err != nil {
			return err
		}
		added = true
	}
	if !added {
		return nil
	}
	return d.trim()
}

func (d *codeDir) clear() error { return os.RemoveAll(d.stage) }

// trim removes what is out of bounds: every file counts, whatever wrote it.
// Another process may do the same, so one that is gone is no error; and
// whoever is about to use what is removed compiles it anew.
func (d *codeDir) trim() error {
	now := time.Now()
	type file struct {
		path string
		size int64
		used time.Time
	}
	var files []file
	err := filepath.WalkDir(d.path, func(path string, at fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = at.Info()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case at.IsDir() && strings.HasPrefix(at.Name(), stagePrefix):
			if now.Sub(info.ModTime()) > maxStage {
				if err := os.RemoveAll(path); err != nil {
					return err
				}
			}
			return fs.SkipDir
		case at.Type().IsRegular():
			files = append(files, file{path, info.Size(), info.ModTime()})
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b file) int { return b.used.Compare(a.used) })
	total := int64(0)
	for _, f := range files {
		if total += f.size; total > maxKept || now.Sub(f.used) > maxUnused {
			err = errors.Join(err, remove(f.path))
		}
	}
	return err
}

// staged is where the engine has the file of that name.
func (d *codeDir) staged(name string) string { return filepath.Join(d.stage, d.engine, name) }

// key tells a module, and which version of the engine compiles it.
func (d *codeDir) key(module []byte) string {
	h := sha256.New()
	h.Write([]byte(d.engine + "\x00"))
	h.Write(module)
	return half(h.Sum(nil))
}

func sum(code []byte) string {
	s := sha256.Sum256(code)
	return half(s[:])
}

// half is enough of a sum to tell files apart, and keeps names short.
func half(sum []byte) string { return hex.EncodeToString(sum[:16]) }

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

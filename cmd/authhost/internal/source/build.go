package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const interruptTime = 10 * time.Second // that a toolchain has to end

// Plugin is a plugin's source.
type Plugin struct {
	Name string // of its folder
	Dir  string
	lang *Language
}

// Find returns the plugin whose source is in dir itself.
func Find(dir string) (*Plugin, error) {
	whole, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(whole); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is no folder", dir)
	}
	for i := range languages {
		if languages[i].is(whole, filepath.Base(whole)) {
			return &Plugin{filepath.Base(whole), dir, &languages[i]}, nil
		}
	}
	return nil, fmt.Errorf("%s holds no plugin: no source in one of %s", dir, strings.Join(Names(), ", "))
}

// Module is where the module is built to: beside the source.
func (p *Plugin) Module() string { return filepath.Join(p.Dir, p.Name+".wasm") }

// Build makes a module of the source and puts it at out in one step, so that
// nobody sees half of one. An error has what the toolchain said, which is run
// with env besides the environment.
func (p *Plugin) Build(ctx context.Context, out string, env ...string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	next := out + ".new"
	tool := &p.lang.tool
	program, err := tool.find(p.Dir)
	if err != nil {
		return fmt.Errorf("plugin %s cannot be built: %w", p.Name, err)
	}
	fill := strings.NewReplacer("OUT", next, "NAME", p.Name)
	args := make([]string, len(tool.args))
	for i, a := range tool.args {
		args[i] = fill.Replace(a)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = p.Dir
	// Interrupted, the go command waits for its compilers.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = interruptTime
	cmd.Env = append(append(os.Environ(), tool.env...), env...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("plugin %s does not build: %w\n%s%s", p.Name, err, output, tool.hint(output)), gone(next))
	}
	return os.Rename(next, out)
}

// find returns the program to run.
func (t *toolchain) find(dir string) (string, error) {
	for _, program := range t.programs {
		if strings.Contains(program, "/") && !filepath.IsAbs(program) {
			whole, err := filepath.Abs(filepath.Join(dir, program))
			if err != nil {
				return "", err
			}
			program = whole
		}
		if path, err := exec.LookPath(program); err == nil {
			return path, nil
		}
	}
	return "", errors.New(t.needed)
}

// hint says what to do if it is the toolchain that is not whole.
func (t *toolchain) hint(output []byte) string {
	if slices.ContainsFunc(t.lacks, func(text string) bool { return bytes.Contains(output, []byte(text)) }) {
		return "\n" + t.needed
	}
	return ""
}

// gone removes a file that need not be there.
func gone(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Fingerprint hashes the source, what is in folders below too, and the files
// beside it that have one of these names.
func (p *Plugin) Fingerprint(more ...string) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	err = filepath.WalkDir(p.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "node_modules" {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || !slices.Contains(p.lang.ext, filepath.Ext(path)) && !slices.Contains(more, d.Name()) {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %d\n", path, len(content))
		h.Write(content)
		return nil
	})
	return [sha256.Size]byte(h.Sum(nil)), err
}

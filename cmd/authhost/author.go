package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/authhost/authhost/cmd/authhost/internal/source"
	"github.com/authhost/authhost/host/plugin/author"
)

// runPlugin is plugin new, build, test, inspect, bench and sign.
func runPlugin(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	verbs := map[string]func(context.Context, authorFlags, []string, io.Writer) error{
		"new": newPlugin, "build": buildPlugin, "test": testPlugin, "inspect": inspectPlugin, "bench": benchPlugin, "sign": signPlugin,
	}
	if len(args) > 0 {
		if verb, ok := verbs[args[0]]; ok {
			return verb(ctx, authorFlags{newFlags("plugin "+args[0], stderr)}, args[1:], stdout)
		}
		if args[0] == "-h" || args[0] == "--help" {
			return helpError{"plugin"}
		}
	}
	return newFlags("plugin", stderr).wrong("want one of new, build, test, inspect, bench, sign")
}

// authorFlags are those of one of the author's commands.
type authorFlags struct{ flags }

// moduleFlags are those of commands that look at a built module.
type moduleFlags struct {
	authorFlags
	config, output *string
}

func (f authorFlags) ofModule() moduleFlags {
	return moduleFlags{f, f.String("config", "", "JSON file: the configuration of cases that have none"), nil}
}

func (f *moduleFlags) withOutput() { f.output = f.String("output", "table", "table or json") }

// open reads the arguments and opens the one module that they name.
func (f moduleFlags) open(args []string, least int) (*author.Module, error) {
	words, err := f.wants(args, least, 1)
	if err != nil {
		return nil, err
	}
	if f.output != nil && *f.output != "table" && *f.output != "json" {
		return nil, f.wrong("--output is table or json")
	}
	path, err := moduleAt(strings.Join(words, ""))
	if err != nil {
		return nil, err
	}
	var config []byte
	if *f.config != "" {
		if config, err = os.ReadFile(*f.config); err != nil {
			return nil, err
		}
	}
	m, err := author.Open(path, config)
	if err != nil && *f.config != "" && errors.Is(err, author.ErrConfig) {
		err = fmt.Errorf("%s: %w", *f.config, err)
	}
	return m, err
}

// moduleAt returns the module that is meant by its file, or by its folder; ""
// is the working directory.
func moduleAt(path string) (string, error) {
	if path == "" {
		path = "."
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return path, err
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	module := filepath.Join(path, filepath.Base(whole)+".wasm")
	if _, err := os.Stat(module); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no %s; make it: authhost plugin build %s", module, path)
	}
	return module, nil
}

func newPlugin(_ context.Context, f authorFlags, args []string, stdout io.Writer) error {
	lang := f.String("lang", "go", strings.Join(source.Names(), ", "))
	dir := f.String("dir", ".", "the folder in which the plugin's is made")
	words, err := f.wants(args, 1, 1)
	if err != nil {
		return err
	}
	made, install, err := source.New(*dir, words[0], *lang)
	if err != nil {
		return err
	}
	if install != "" {
		install = "  " + install + "\n"
	}
	_, err = fmt.Fprintf(stdout, "%s is made. Next:\n%s  authhost plugin build %[1]s\n  authhost plugin test %[1]s\n", made, install)
	return err
}

func buildPlugin(ctx context.Context, f authorFlags, args []string, stdout io.Writer) error {
	words, err := f.wants(args, 0, 1)
	if err != nil {
		return err
	}
	dir := "."
	if len(words) > 0 {
		dir = words[0]
	}
	p, err := source.Find(dir)
	if err != nil {
		return err
	}
	if err := p.Build(ctx, p.Module()); err != nil {
		return err
	}
	info, err := os.Stat(p.Module())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s: %d bytes\n", p.Module(), info.Size())
	return err
}

// testTime bounds a run of cases, so that a pipeline does not hang. A host waits
// much less long, see cases.Time, but then this machine may be a busy one.
const testTime = 5 * time.Minute

func testPlugin(ctx context.Context, f authorFlags, args []string, stdout io.Writer) error {
	of := f.ofModule()
	coverage := f.Bool("coverage", false, "show which rules of the configuration no case met")
	junit := f.String("junit", "", "file for a report that CI systems read")
	m, err := of.open(args, 0)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, testTime, fmt.Errorf("the cases took longer than %s", testTime))
	defer cancel()
	r, err := m.Test(ctx)
	if err != nil {
		return err
	}
	err = r.WriteText(stdout)
	if *coverage {
		err = errors.Join(err, r.WriteCoverage(stdout))
	}
	if *junit != "" {
		var b bytes.Buffer
		err = errors.Join(err, r.WriteJUnit(&b), os.WriteFile(*junit, b.Bytes(), 0o644))
	}
	return errors.Join(err, r.Err())
}

func inspectPlugin(ctx context.Context, f authorFlags, args []string, stdout io.Writer) error {
	of := f.ofModule()
	of.withOutput()
	m, err := of.open(args, 1)
	if err != nil {
		return err
	}
	in, err := m.Inspect(ctx)
	if err != nil {
		return err
	}
	if *of.output == "json" {
		return writeJSON(stdout, in)
	}
	return showInspection(stdout, in)
}

func benchPlugin(ctx context.Context, f authorFlags, args []string, stdout io.Writer) error {
	of := f.ofModule()
	of.withOutput()
	m, err := of.open(args, 0)
	if err != nil {
		return err
	}
	all, err := m.Bench(ctx)
	if err != nil {
		return err
	}
	if *of.output == "json" {
		return writeJSON(stdout, all)
	}
	rows := []string{"CASE\tHOOK\tNS\tALLOCATIONS\tFUEL"}
	for _, c := range all {
		if c.Error != "" {
			rows = append(rows, fmt.Sprintf("%s\t%s\t-\t-\t%s", c.Name, c.Hook, firstLine(c.Error)))
			continue
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%.0f\t%.1f\t%d", c.Name, c.Hook, c.Ns, c.Allocs, c.Fuel))
	}
	return writeTable(stdout, rows...)
}

func signPlugin(_ context.Context, f authorFlags, args []string, stdout io.Writer) error {
	key := f.String("key", "", "minisign secret key")
	fresh := f.String("new-key", "", "file for a new secret key; the public one gets .pub")
	passwordFile := f.String("password-file", "", "file that holds the secret key's password")
	version := f.String("version", "", "of the module, such as 1.2.3")
	words, err := f.wants(args, 0, 1)
	if err != nil {
		return err
	}
	if (len(words) == 1) != (*key != "") || (*key != "") == (*fresh != "") || *fresh != "" && *version != "" {
		return f.wrong("want MODULE and --key FILE, or --new-key FILE alone")
	}
	password := ""
	if *passwordFile != "" {
		if password, err = readToken(*passwordFile); err != nil {
			return err
		}
	}
	if *fresh != "" {
		public, err := author.NewKey(*fresh, password)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(stdout, "%s is the secret key: keep it. The public one, for public_keys of the configuration:\n%s\n", *fresh, public)
		return err
	}
	module, err := moduleAt(words[0])
	if err != nil {
		return err
	}
	file, id, signed, err := author.Sign(module, *key, password, *version, time.Now())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s: version %s, key %s\n", file, signed, id)
	return err
}

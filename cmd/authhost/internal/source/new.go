package source

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// templates are the files of a new plugin: those of every language in
// every.txtar, the others in one file a language.
//
//go:embed templates/*.txtar
var templates embed.FS

// archive is the SDKs. `make sdk-archive` writes it.
//
//go:embed sdk.txtar
var archive []byte

// sdkDir is where a plugin has its SDK, below its own folder.
const sdkDir = "sdk"

// pluginName is what a plugin may be called: its files are, too.
var pluginName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

const maxName = 64

// New makes the source of a plugin in the folder dir/name, which must not be
// there, and returns that folder, with the command that installs its compiler
// if the SDK brings one. It compiles, and passes its cases.
func New(dir, name, language string) (made, install string, err error) {
	lang, err := byName(language)
	if err != nil {
		return "", "", err
	}
	if !pluginName.MatchString(name) || len(name) > maxName {
		return "", "", fmt.Errorf("%q cannot be a plugin's name: lower-case letters and digits, in words joined by single dashes", name)
	}
	files, err := lang.files(name)
	if err != nil {
		return "", "", err
	}
	made = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(made), 0o755); err != nil {
		return "", "", err
	}
	if err := os.Mkdir(made, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return "", "", fmt.Errorf("%s is there already", made)
		}
		return "", "", err
	}
	for _, f := range files {
		file := filepath.Join(made, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return "", "", err
		}
		if err := os.WriteFile(file, f.Data, 0o644); err != nil {
			return "", "", err
		}
	}
	return made, strings.ReplaceAll(lang.tool.install, "DIR", filepath.ToSlash(made)), nil
}

// files are those of a new plugin, its SDK among them.
func (l *Language) files(name string) (all []txtar.File, err error) {
	fill := strings.NewReplacer("NAME", name, "LANGUAGE", l.Name)
	for _, file := range []string{"every", l.Name} {
		content, err := templates.ReadFile("templates/" + file + ".txtar")
		if err != nil {
			return nil, err
		}
		for _, f := range txtar.Parse(content).Files {
			all = append(all, txtar.File{Name: fill.Replace(f.Name), Data: []byte(fill.Replace(string(f.Data)))})
		}
	}
	for _, f := range txtar.Parse(archive).Files {
		if rest, ok := l.own(f.Name); ok {
			all = append(all, txtar.File{Name: path.Join(sdkDir, rest), Data: f.Data})
		}
	}
	return all, nil
}

// own says whether a file of the archive is part of the language's SDK, and
// returns its name within that. What no other language has is Go's.
func (l *Language) own(name string) (rest string, ok bool) {
	if l.sdk != "" {
		return strings.CutPrefix(name, l.sdk)
	}
	for i := range languages {
		if other := languages[i].sdk; other != "" && strings.HasPrefix(name, other) {
			return "", false
		}
	}
	return name, true
}

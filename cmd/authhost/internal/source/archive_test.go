package source

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var write = flag.Bool("write", false, "write sdk.txtar")

const sdks = "../../../../sdk"

// notShipped are folders of sdk/ that no plugin is built from.
var notShipped = []string{"testdata", "example", "fakehost", "node_modules"}

// shipped are the files of sdk/ that a plugin is built from, and what is to be
// read.
func shipped(t *testing.T) *txtar.Archive {
	t.Helper()
	a := &txtar.Archive{Comment: []byte("The SDKs, as `authhost plugin new` writes them beside a plugin: sdk/ without\nits tests. `make sdk-archive` writes this file.\n")}
	err := filepath.WalkDir(sdks, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains(notShipped, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(d.Name(), "_test.go") || !slices.Contains([]string{".go", ".mod", ".md", ".rs", ".h", ".ts", ".json"}, filepath.Ext(path)) {
			return nil
		}
		rel, err := filepath.Rel(sdks, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		a.Files = append(a.Files, txtar.File{Name: filepath.ToSlash(rel), Data: content})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestArchiveIsTheSDK(t *testing.T) {
	want := shipped(t)
	text := txtar.Format(want)
	for i, f := range txtar.Parse(text).Files {
		if i >= len(want.Files) || !bytes.Equal(f.Data, want.Files[i].Data) {
			t.Fatalf("sdk/%s does not survive the archive: it must end its last line, and none may look like -- a name --", f.Name)
		}
	}
	if *write {
		if err := os.WriteFile("sdk.txtar", text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(archive, text) {
		t.Error("sdk.txtar is not what is in sdk/: make sdk-archive")
	}
}

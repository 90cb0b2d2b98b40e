package plugins_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fence    = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	fileName = regexp.MustCompile(`^(?://|#) (\S+)\n`)
)

// TestWritingPlugins follows docs/writing-plugins.md from top to bottom: it
// writes each file that the page shows, named in its first line, runs each sh
// block, and wants the lines of a text block in the output before it.
func TestWritingPlugins(t *testing.T) {
	t.Parallel()
	readSources(t, "../sdk", "../cmd", "../host", "../abi")
	page, err := os.ReadFile("../docs/writing-plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir, bin := t.TempDir(), t.TempDir()
	run(t, checkout, nil, "go", "build", "-o", bin, "./cmd/authhost")
	// What `npm install --global assemblyscript` would put on the path, make deps
	// has put here.
	asc := filepath.Join(checkout, ".cache/assemblyscript/node_modules/.bin")
	env := []string{"AUTHHOST=" + checkout, "PATH=" + strings.Join([]string{bin, asc, os.Getenv("PATH")}, string(os.PathListSeparator))}

	var output string
	ran := map[string]int{}
	for _, block := range fence.FindAllStringSubmatch(string(page), -1) {
		language, text := block[1], block[2]
		ran[language]++
		switch language {
		case "go", "rust", "ts", "c", "yaml":
			name := fileName.FindStringSubmatch(text)
			if name == nil {
				t.Fatalf("no file name in the first line of\n%s", text)
			}
			writeFile(t, filepath.Join(dir, name[1]), text)
			if sdk, ok := sdks[language]; ok {
				showsToo(t, sdk, strings.TrimPrefix(text, name[0]))
			}
		case "sh":
			output = run(t, dir, env, "sh", "-euc", text)
		case "text":
			for line := range strings.Lines(text) {
				if !strings.Contains(output, strings.TrimSpace(line)) {
					t.Errorf("no %q in the output\n%s", strings.TrimSpace(line), output)
				}
			}
		default:
			t.Errorf("a block of %q that nobody runs:\n%s", language, text)
		}
	}
	if ran["go"] < 2 || ran["sh"] < 4 || ran["text"] < 1 || ran["rust"] < 1 || ran["ts"] < 1 || ran["c"] < 1 {
		t.Errorf("blocks were lost: %v", ran)
	}
	if out := run(t, dir, nil, "gofmt", "-l", "."); out != "" {
		t.Errorf("not formatted: %s", out)
	}
}

// sdks are the SDKs whose README shows the plugin that the page shows.
var sdks = map[string]string{"rust": "../sdk/rust", "ts": "../sdk/assemblyscript", "c": "../sdk/c"}

func showsToo(t *testing.T, sdk, plugin string) {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(sdk, "README.md"))
	if err != nil || !strings.Contains(string(readme), plugin) {
		t.Errorf("%s/README.md does not show the same plugin: %v", sdk, err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

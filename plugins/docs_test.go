package plugins_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fence    = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")
	fileName = regexp.MustCompile(`^(?://|#) (\S+)\n`)
)

// inGo is the heading from which on the page is about Go alone.
const inGo = "\n## A configuration, in Go\n"

// TestWritingPlugins follows docs/writing-plugins.md from top to bottom, once
// for each language: it writes each file that the page shows, named in its
// first line, runs each sh block, and wants the lines of a text block in the
// output before it. A block of "sh rust" is for Rust alone. A console block is
// what a failing case looks like.
func TestWritingPlugins(t *testing.T) {
	t.Parallel()
	readSources(t, "../sdk", "../cmd", "../host", "../abi")
	content, err := os.ReadFile("../docs/writing-plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	shared, _, found := strings.Cut(string(content), inGo)
	if !found {
		t.Fatalf("the page has no %s", inGo)
	}
	bin := t.TempDir()
	run(t, "..", nil, "go", "build", "-o", bin, "./cmd/authhost")
	for language, page := range map[string]string{"go": string(content), "rust": shared, "assemblyscript": shared, "c": shared} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			follow(t, language, page, bin)
		})
	}
}

func follow(t *testing.T, language, page, bin string) {
	dir := t.TempDir()
	env := []string{"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "npm_config_prefer_offline=true"}
	var output string
	ran := map[string]int{}
	for _, block := range fence.FindAllStringSubmatch(page, -1) {
		kind, text := block[1], block[2]
		ran[kind]++
		switch kind {
		case "go", "yaml":
			if kind == "go" && language != "go" {
				continue
			}
			name := fileName.FindStringSubmatch(text)
			if name == nil {
				t.Fatalf("no file name in the first line of\n%s", text)
			}
			writeFile(t, filepath.Join(dir, name[1]), text)
		case "sh", "sh " + language:
			output = run(t, dir, env, "sh", "-euc", text)
		case "sh go", "sh rust", "sh assemblyscript", "sh c":
		case "text":
			contains(t, output, text)
		case "console":
			contains(t, failing(t, dir, env), text)
		default:
			t.Errorf("a block of %q that nobody runs:\n%s", kind, text)
		}
	}
	if ran["sh "+language] != 1 || ran["sh"] < 3 || ran["text"] < 3 || ran["console"] != 1 || language == "go" && (ran["go"] < 3 || ran["sh"] < 6) {
		t.Errorf("blocks were lost: %v", ran)
	}
	if out := run(t, dir, nil, "gofmt", "-l", "."); out != "" {
		t.Errorf("not formatted: %s", out)
	}
}

// contains wants each line of text in output.
func contains(t *testing.T, output, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if !strings.Contains(output, strings.TrimSuffix(line, "\n")) {
			t.Errorf("no %q in the output\n%s", line, output)
		}
	}
}

// failing asks the page's plugin a case that expects another reason.
func failing(t *testing.T, dir string, env []string) string {
	t.Helper()
	file := filepath.Join(dir, "gate/gate.cases.yaml")
	cases, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	defer writeFile(t, file, string(cases))
	writeFile(t, file, strings.ReplaceAll(string(cases), "deleting needs admin", "deleting is for admins"))
	return run(t, dir, env, "sh", "-c", "authhost plugin test gate; test $? = 1")
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

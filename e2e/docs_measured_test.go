package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	fenced   = regexp.MustCompile("(?ms)^```.*?^```$")
	goTested = regexp.MustCompile("`(go test\\s[^`]+)`")
	shWord   = regexp.MustCompile(`'[^']*'|\S+`)
)

// goTests returns the go test commands of a page, those in a sentence too.
func goTests(t testing.TB, name string) (commands []string) {
	t.Helper()
	for _, block := range blocks(t, name, "sh") {
		for line := range strings.Lines(block) {
			if command, _, _ := strings.Cut(line, "  #"); strings.HasPrefix(command, "go test ") {
				commands = append(commands, command)
			}
		}
	}
	for _, m := range goTested.FindAllStringSubmatch(fenced.ReplaceAllString(page(t, name), ""), -1) {
		commands = append(commands, m[1])
	}
	return commands
}

// testsOf is the source of the tests of a package, by its name in a command.
func testsOf(t testing.TB, pkg string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("package %s has no tests (%v)", pkg, err)
	}
	var all strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(content)
	}
	return all.String()
}

// goTestProblems says what of a go test command has nothing to be about: each
// alternative of its pattern names a test or benchmark of each of its packages,
// and each flag that is not the go command's is one of theirs.
func goTestProblems(t testing.TB, command string) (problems []string) {
	t.Helper()
	patterns := map[string]string{}
	var flags, packages []string
	words := shWord.FindAllString(command, -1)[2:]
	for i := 0; i < len(words); i++ {
		name, isFlag := strings.CutPrefix(words[i], "-")
		switch {
		case !isFlag:
			packages = append(packages, words[i])
		case name == "run" || name == "bench":
			if i++; i == len(words) {
				return []string{words[i-1] + " has no pattern"}
			}
			patterns[name] = strings.Trim(words[i], "'")
		case name != "v" && name != "race":
			flags = append(flags, name)
		}
	}
	kind, pattern := "Test", patterns["run"]
	if bench, ok := patterns["bench"]; ok {
		if kind, pattern = "Benchmark", bench; patterns["run"] != "^$" {
			problems = append(problems, "runs tests besides benchmarks")
		}
	}
	if pattern == "" || len(packages) == 0 {
		return append(problems, "names no pattern or no package")
	}
	for _, pkg := range packages {
		source := testsOf(t, pkg)
		functions := regexp.MustCompile(`(?m)^func (`+kind+`\w*)\(`).FindAllStringSubmatch(source, -1)
		for alternative := range strings.SplitSeq(pattern, "|") {
			first, _, _ := strings.Cut(alternative, "/")
			like, err := regexp.Compile(first)
			if err != nil || !slices.ContainsFunc(functions, func(f []string) bool { return like.MatchString(f[1]) }) {
				problems = append(problems, "no "+kind+" of "+pkg+" is like "+alternative)
			}
		}
		for _, flag := range flags {
			if !regexp.MustCompile(`\bflag\.\w+\("` + regexp.QuoteMeta(flag) + `"`).MatchString(source) {
				problems = append(problems, pkg+" has no flag -"+flag)
			}
		}
	}
	return problems
}

// The commands behind the pages' figures run something.
func TestDocsMeasuredByRealTests(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) < 5 {
		t.Fatal(pages, err)
	}
	names := []string{"README.md", "CONTRIBUTING.md", "host/RATIONALE.md"}
	for _, path := range pages {
		names = append(names, "docs/"+filepath.Base(path))
	}
	commands := 0
	for _, name := range names {
		for _, command := range goTests(t, name) {
			commands++
			for _, problem := range goTestProblems(t, command) {
				t.Errorf("%s: %s: %s", name, command, problem)
			}
		}
	}
	if commands < 8 {
		t.Errorf("%d commands found", commands)
	}
	for _, wrong := range []string{
		"go test ./e2e -run 'TestSentinelFailover|TestNobody'",
		"go test ./host/session -run '^$' -bench TestSessions",
		"go test ./host/session -bench Scale",
		"go test ./host/session -run Test -soak",
		"go test ./host/session",
	} {
		if len(goTestProblems(t, wrong)) == 0 {
			t.Errorf("%s passes", wrong)
		}
	}
}

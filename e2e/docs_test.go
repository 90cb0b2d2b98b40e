package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// ownPages are those of this test; the pages of gateways and plugins, and the
// reference of the configuration, have tests of their own.
var ownPages = []string{"README.md", "docs/operating.md"}

func page(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// blocks returns a page's code in that language.
func blocks(t testing.TB, name, language string) []string {
	t.Helper()
	fence := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$")
	var all []string
	for _, m := range fence.FindAllStringSubmatch(page(t, name), -1) {
		all = append(all, m[1])
	}
	return all
}

var makeTarget = regexp.MustCompile("(?m)(?:^|`)make ([a-z]+)(?:$|`)")

func TestDocsMakeTargets(t *testing.T) {
	asked := map[string]string{}
	for _, name := range append([]string{"CONTRIBUTING.md", "plugins/README.md"}, ownPages...) {
		for _, m := range makeTarget.FindAllStringSubmatch(page(t, name), -1) {
			cmd := exec.Command("make", "-n", m[1])
			cmd.Dir = root
			b, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%s: make %s: %v\n%s", name, m[1], err, b)
			}
			asked[m[1]] = string(b)
		}
	}
	if !regexp.MustCompile(`(?m)^go run .*\./cmd/authhost dev$`).MatchString(asked["run"]) {
		t.Errorf("make run is\n%s", asked["run"])
	}
	for _, part := range []string{"go vet", "staticcheck", "go test -race", "scripts/fuzz", "install-test-servers"} {
		if !strings.Contains(asked["check"], part) {
			t.Errorf("make check does no %s", part)
		}
	}
	for _, target := range []string{"soak", "bench", "plugins", "build"} {
		if asked[target] == "" {
			t.Errorf("make %s is not documented or does nothing", target)
		}
	}
}

// site is a folder with authhost.yaml in it, as the pages assume.
func site(t testing.TB, idp *issuer, config string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	writeFile(t, filepath.Join(dir, "authhost.yaml"), listen+idp.realm("")+strings.ReplaceAll(config, "PLUGINS", artifacts(t)))
	return dir
}

// shell makes a command that finds authhost, as authhost and as bin/authhost.
func shell(t testing.TB, dir, line string, env ...string) *exec.Cmd {
	t.Helper()
	if err := os.Symlink(artifacts(t), filepath.Join(dir, "bin")); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "exec "+line)
	cmd.Dir = dir
	cmd.Env = append(append(environ(t), "PATH="+artifacts(t)+string(os.PathListSeparator)+os.Getenv("PATH")), env...)
	return cmd
}

// Every authhost command that a page shows is run as it stands there.
func TestDocsCommands(t *testing.T) {
	idp := newIssuer(t)
	dir := site(t, idp, gitops)
	host := replicas(t, 1, idp, startRedis(t))[0]
	_, user := host.logIn(t, idp.token(t, "editor", nil))
	writeFile(t, filepath.Join(dir, "token"), operatorToken+"\n")
	writeFile(t, filepath.Join(dir, "redis.yaml"), startRedis(t).cache())
	ran := map[string]int{}
	for _, name := range ownPages {
		for _, block := range blocks(t, name, "sh") {
			for line := range strings.Lines(block) {
				command, _, _ := strings.Cut(line, "  #")
				command = strings.TrimSpace(command)
				words := strings.Fields(command)
				if len(words) < 2 || filepath.Base(words[0]) != "authhost" {
					continue
				}
				ran[words[1]]++
				if words[1] == "users" || words[1] == "sessions" || words[1] == "plugins" {
					command += " --server " + host.admin
				}
				cmd := shell(t, dir, command, "TOKEN="+idp.token(t, "editor", nil), "USER_ID="+user)
				if words[1] == "serve" {
					served(t, cmd)
					continue
				}
				b, err := cmd.CombinedOutput()
				if words[1] == "plugins" && words[2] == "rollback" && strings.HasSuffix(string(b), "409 Conflict: no_previous_version\n") {
					err = nil // no other has served here
				}
				if err != nil {
					t.Errorf("%s: %s: %v\n%s", name, command, err, b)
				}
				if words[1] == "explain" && !strings.HasSuffix(string(b), "\ndecision: 200 rules[0]: editor\n") {
					t.Errorf("%s: %s\n%s", name, command, b)
				}
			}
		}
	}
	for _, command := range []string{"check", "serve", "explain"} {
		if ran[command] < len(ownPages) {
			t.Errorf("authhost %s was run %d times", command, ran[command])
		}
	}
	for _, unit := range blocks(t, "docs/operating.md", "ini") {
		command := regexp.MustCompile(`(?m)^ExecStart=\S+/(authhost) (.*)/etc/authhost/(.*)$`).FindStringSubmatch(unit)
		if command == nil {
			t.Fatalf("nothing is started by\n%s", unit)
		}
		served(t, shell(t, dir, strings.Join(command[1:3], " ")+command[3]))
		ran["unit"]++
	}
	if ran["unit"] != 1 || ran["cache"] < 3 || ran["plugins"] < 4 {
		t.Errorf("authhost cache was run %d times, plugins %d", ran["cache"], ran["plugins"])
	}
}

// served runs authhost serve until it listens, and ends it.
func served(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	p := start(t, cmd)
	eventually(t, "listening", func() bool { return strings.Count(p.output.String(), `"msg":"listening"`) == 3 })
	p.signal(syscall.SIGTERM)
	<-p.ended
	if p.err != nil {
		t.Errorf("%s: %v", cmd.Args, p.err)
	}
}

// Commands that a page only mentions exist.
func TestDocsMentionRealCommands(t *testing.T) {
	b, err := exec.Command(filepath.Join(artifacts(t), "authhost"), "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	mention := regexp.MustCompile("`authhost ([a-z]+)[^`]*`")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) < 5 {
		t.Fatal(pages, err)
	}
	mentioned := 0
	for _, path := range append(pages, filepath.Join(root, "README.md"), filepath.Join(root, "plugins", "README.md")) {
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mention.FindAllStringSubmatch(page(t, name), -1) {
			mentioned++
			if !strings.Contains(string(b), "\n  authhost "+m[1]+" ") {
				t.Errorf("%s: %s is not in the usage", name, m[0])
			}
		}
	}
	if mentioned == 0 {
		t.Error("no command is mentioned")
	}
}

// The README's plugin is compiled with the SDK, loads, and does what it says.
func TestDocsReadmePlugin(t *testing.T) {
	sources := blocks(t, "README.md", "go")
	if len(sources) != 1 {
		t.Fatalf("%d plugins in README.md", len(sources))
	}
	src := t.TempDir()
	writeFile(t, filepath.Join(src, "main.go"), sources[0])
	writeFile(t, filepath.Join(src, "go.mod"), "module example.com/plugin\n\ngo 1.24\n\nrequire github.com/authhost/authhost/sdk v0.0.0\n\nreplace github.com/authhost/authhost/sdk => "+filepath.Join(root, "sdk")+"\n")
	module := filepath.Join(src, "plugin.wasm")
	if err := buildGuest(src, module); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command("gofmt", "-l", src).CombinedOutput(); err != nil || len(b) > 0 {
		t.Errorf("gofmt: %v %s", err, b)
	}
	idp := newIssuer(t)
	dir := site(t, idp, fmt.Sprintf("\nplugins: [{name: mine, module: %s}]\nroutes: [{path: \"/**\", plugins: [mine], default: allow}]\n", module))
	for request, want := range map[[2]string]string{
		{"viewer", "/admin"}: "403 admins only",
		{"admin", "/admin"}:  "200 default_allow",
		{"viewer", "/other"}: "200 default_allow",
	} {
		b, err := shell(t, dir, fmt.Sprintf("authhost explain --config authhost.yaml --header 'Authorization: Bearer %s' https://console.example%s", idp.token(t, request[0], nil), request[1])).CombinedOutput()
		if err != nil || !strings.HasSuffix(string(b), "\ndecision: "+want+"\n") {
			t.Errorf("%v: want %s, got %v\n%s", request, want, err, b)
		}
	}
}

var (
	keyRow  = regexp.MustCompile("(?m)^\\| `([a-z_.\\[\\]0-9]+)` \\|")
	keyLike = regexp.MustCompile("`([a-z_]+(?:\\.[a-z_]+)*)(?:: [a-z_]+)?`")
)

// foreign are words of these pages in the form of a configuration key that
// belong to somebody else, most of the last to what is told of a plugin.
var foreign = []string{"authhost_ready", "auth_request", "forward_auth", "rolled_back", "last_error", "last_attempt",
	"authhost_logout_waiting", "given_up", "too_large", "on_logout", "private", "page_token", "out_of_keys",
	"used_memory", "process_resident_memory_bytes", "bad_signature", "not_yet_valid", "wrong_issuer", "wrong_audience", "default_allow"}

// Every configuration key that a page names is one, by the reference.
func TestDocsKeysExist(t *testing.T) {
	var keys []string
	for _, m := range keyRow.FindAllStringSubmatch(page(t, "docs/configuration.md"), -1) {
		keys = append(keys, "."+m[1])
	}
	if len(keys) < 60 {
		t.Fatalf("%d keys in the reference", len(keys))
	}
	others := append(slices.Collect(maps.Keys(documentedReasons(t))), foreign...)
	for field := range logFields(t) {
		others = append(others, field)
	}
	named := 0
	for _, name := range append([]string{"docs/security.md"}, ownPages...) {
		for _, m := range keyLike.FindAllStringSubmatch(page(t, name), -1) {
			if !strings.ContainsAny(m[1], "._") && !strings.Contains(m[0], ": ") || slices.Contains(others, m[1]) {
				continue
			}
			if named++; !slices.ContainsFunc(keys, func(k string) bool { return strings.HasSuffix(k, "."+m[1]) }) {
				t.Errorf("%s names %s, which is no key", name, m[0])
			}
		}
	}
	if named < 8 {
		t.Errorf("%d keys found in the pages", named)
	}
}

var (
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	anyLink  = regexp.MustCompile(`\]\(([^)\s:#]*)(?:#([^)\s]+))?\)`)
	codeAt   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	notInURL = regexp.MustCompile(`[^\pL\pN_ -]`)
)

// anchors are the headings of a page, as links name them.
func anchors(t testing.TB, name string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(codeAt.ReplaceAllString(page(t, name), ""), -1) {
		found[strings.ReplaceAll(notInURL.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return found
}

// Links between pages lead to a file and a heading that are there.
func TestDocsLinks(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"*.md", "*/*.md", "*/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	links := 0
	for _, path := range pages {
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range anyLink.FindAllStringSubmatch(codeAt.ReplaceAllString(page(t, name), ""), -1) {
			links++
			to := name
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(name), m[1])
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if m[2] != "" && !anchors(t, to)[m[2]] {
				t.Errorf("%s: %s has no heading #%s", name, to, m[2])
			}
		}
	}
	if len(pages) < 15 || links < 80 {
		t.Errorf("%d links found in %d pages", links, len(pages))
	}
}

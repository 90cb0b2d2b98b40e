package e2e

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// gatewayPages are the pages and the files that each is about.
var gatewayPages = map[string][]string{
	"nginx.md":   {"nginx.conf"},
	"caddy.md":   {"Caddyfile"},
	"traefik.md": {"traefik.yaml", "traefik-static.yaml"},
	"envoy.md":   {"envoy.yaml"},
}

var (
	fencedBlock = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	localLink   = regexp.MustCompile(`\]\(([^):#]+)\)`)
)

func gatewayPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What a page shows of a configuration is part of a file that is shipped, and
// run by the tests here.
func TestDocGatewayPagesShowWhatIsShipped(t *testing.T) {
	var known []string
	for page, files := range gatewayPages {
		known = append(known, files...)
		var content []string
		for _, file := range files {
			content = append(content, shipped(t, file))
		}
		text := gatewayPage(t, page)
		for _, block := range fencedBlock.FindAllStringSubmatch(text, -1) {
			switch language, shown := block[1], block[2]; language {
			case "nginx", "caddyfile", "yaml":
				if !slices.ContainsFunc(content, func(c string) bool { return containsBlock(c, shown) }) {
					t.Errorf("%s shows what is in none of %v:\n%s", page, files, shown)
				}
			case "sh": // run below
			default:
				t.Errorf("%s: a block of %q, which nothing tests", page, language)
			}
		}
		links := map[string]bool{}
		for _, link := range localLink.FindAllStringSubmatch(text, -1) {
			links[link[1]] = true
			if _, err := os.Stat(filepath.Join("..", "docs", link[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
		for _, file := range files {
			if !links["gateways/"+file] {
				t.Errorf("%s does not link to %s", page, file)
			}
		}
	}
	entries, err := os.ReadDir(gatewayDocs)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() && !slices.Contains(known, e.Name()) {
			t.Errorf("no page is about %s", e.Name())
		}
	}
}

// containsBlock says whether block is some whole lines of text, whatever they
// are indented by.
func containsBlock(text, block string) bool {
	want := undent(strings.Split(strings.TrimSuffix(block, "\n"), "\n"))
	lines := strings.Split(text, "\n")
	for i := range len(lines) - len(want) + 1 {
		if slices.Equal(undent(lines[i:i+len(want)]), want) {
			return true
		}
	}
	return false
}

// undent takes the first line's indentation away from all.
func undent(lines []string) []string {
	indent := lines[0][:len(lines[0])-len(strings.TrimLeft(lines[0], " \t"))]
	var out []string
	for _, line := range lines {
		out = append(out, strings.TrimPrefix(line, indent))
	}
	return out
}

// The commands of the pages do what the pages say.
func TestDocGatewayCommands(t *testing.T) {
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+gitops)
	h.awaitReady(t)
	authhost := strings.TrimPrefix(h.public, "http://")
	for page, file := range map[string]string{"nginx.md": "nginx.conf", "caddy.md": "Caddyfile"} {
		t.Run(strings.TrimSuffix(page, ".md"), func(t *testing.T) {
			app := newGatewayApp(t)
			application, addr := app.server.Listener.Addr().String(), freeAddr(t)
			edit := []string{"127.0.0.1:8080", authhost, "127.0.0.1:3000", application, "127.0.0.1:8088", addr}
			if page == "caddy.md" {
				edit[4], edit[5] = "http://:8089", "http://"+strings.TrimPrefix(addr, "127.0.0.1")
			}
			dir := t.TempDir()
			if page == "nginx.md" {
				dir = nginxDir(t, shipped(t, file, edit...))
				writeFile(t, filepath.Join(dir, "nginx"), "#!/bin/sh\nexec "+strings.Join(nginxCommand(t, dir).Args, " ")+` "$@"`)
				if err := os.Chmod(filepath.Join(dir, "nginx"), 0o700); err != nil {
					t.Fatal(err)
				}
				startGateway(t, addr, nginxCommand(t, dir, "-g", "daemon off;"))
			} else {
				writeFile(t, filepath.Join(dir, file), shipped(t, file, edit...))
			}
			env := append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH")+":/usr/sbin", "TOKEN="+idp.token(t, "viewer", nil),
				"HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)

			commands := 0
			for _, block := range fencedBlock.FindAllStringSubmatch(gatewayPage(t, page), -1) {
				if block[1] != "sh" {
					continue
				}
				for line := range strings.Lines(block[2]) {
					commands++
					runDocLine(t, strings.TrimSpace(line), dir, addr, env)
				}
			}
			if commands < 3 {
				t.Errorf("%s has %d commands", page, commands)
			}
			if app.asked.Load() != 1 {
				t.Errorf("the application was asked %d times", app.asked.Load())
			}
		})
	}
}

// runDocLine runs one line of a page. One that asks says in a comment who
// answers.
func runDocLine(t *testing.T, line, dir, addr string, env []string) {
	t.Helper()
	line = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(line, addr)
	line, answer, _ := strings.Cut(line, "#")
	answer = strings.TrimSpace(answer)
	cmd := exec.Command("sh", "-c", "exec "+line)
	if strings.Contains(line, "&&") {
		cmd = exec.Command("sh", "-c", line)
	}
	cmd.Dir, cmd.Env = dir, env
	if strings.HasPrefix(line, "caddy run") {
		startGateway(t, addr, cmd)
		return
	}
	output, err := cmd.CombinedOutput()
	if text := string(output); err != nil || strings.Contains(text, "[warn]") {
		t.Errorf("%s: %v\n%s", line, err, text)
	}
	switch {
	case !strings.HasPrefix(line, "curl "):
	case answer == "401" && strings.Contains(string(output), "HTTP/1.1 401 "):
	case answer == "the application" && strings.Contains(string(output), "HTTP/1.1 200 ") && strings.Contains(string(output), `"X-Auth-Request-User":["viewer"]`):
	default:
		t.Errorf("%s: want %q, got\n%s", line, answer, output)
	}
}

// tree is parsed YAML.
type tree struct{ any }

func shippedTree(t *testing.T, file string) tree {
	t.Helper()
	var root any
	if err := yaml.Unmarshal([]byte(shipped(t, file)), &root); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return tree{root}
}

// at follows keys down; of a list it takes the only entry.
func (n tree) at(keys ...string) tree {
	for _, key := range keys {
		if list, ok := n.any.([]any); ok && len(list) == 1 {
			n.any = list[0]
		}
		m, _ := n.any.(map[string]any)
		n.any = m[key]
	}
	return n
}

func (n tree) keys() []string {
	m, _ := n.any.(map[string]any)
	return slices.Sorted(maps.Keys(m))
}

func (n tree) list() []tree {
	entries, _ := n.any.([]any)
	var list []tree
	for _, e := range entries {
		list = append(list, tree{e})
	}
	return list
}

func (n tree) texts() []string {
	var texts []string
	for _, e := range n.list() {
		text, _ := e.any.(string)
		texts = append(texts, text)
	}
	return texts
}

func wantTree(t *testing.T, what string, got tree, want any) {
	t.Helper()
	if got.any != want {
		t.Errorf("%s is %v, want %v", what, got.any, want)
	}
}

// mistaken are the headers, in canonical spelling, by which some applications
// take a request for one of another host, path or method.
var mistaken = []string{
	"Forwarded", "X-Forwarded-Method", "X-Forwarded-Uri", "X-Original-Host", "X-Original-Method", "X-Original-Uri", "X-Original-Url",
	"X-Rewrite-Url", "X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
}

// ownPaths are those that authhost itself answers behind a gateway.
const ownPaths = "/v1/(login|logout|refresh|me(/sessions(/[^/]+)?)?)"

func TestDocTraefik(t *testing.T) {
	http := shippedTree(t, "traefik.yaml").at("http")
	router := http.at("routers", "application")
	if got, want := router.at("entryPoints").texts(), shippedTree(t, "traefik-static.yaml").at("entryPoints").keys(); !slices.Equal(got, want) || len(got) != 1 {
		t.Errorf("entryPoints are %q, want %q", got, want)
	}
	wantTree(t, "rule", router.at("rule"), "PathPrefix(`/`) && !HeaderRegexp(`Upgrade`, `(?i)h2c|http|tls`)")
	if got := router.at("middlewares").texts(); !slices.Equal(got, []string{"strike-identity", "authhost"}) {
		t.Errorf("middlewares are %q", got)
	}

	strike := http.at("middlewares", "strike-identity", "headers", "customRequestHeaders")
	struck := slices.Concat(identityHeaders, mistaken)
	struck = slices.DeleteFunc(struck, func(name string) bool { return strings.HasPrefix(name, "X-Forwarded-") }) // by Traefik itself
	for _, name := range struck {
		wantTree(t, name, strike.at(name), "")
	}
	if got := strike.keys(); len(got) != len(struck) {
		t.Errorf("customRequestHeaders are %q", got)
	}
	auth := http.at("middlewares", "authhost", "forwardAuth")
	wantTree(t, "address", auth.at("address"), "http://127.0.0.1:8080/authz/forward-auth")
	wantTree(t, "trustForwardHeader", auth.at("trustForwardHeader"), false)
	if got := auth.at("authResponseHeaders").texts(); !slices.Equal(got, identityHeaders) {
		t.Errorf("authResponseHeaders are %q", got)
	}
	if got := auth.keys(); !slices.Equal(got, []string{"address", "authResponseHeaders", "trustForwardHeader"}) {
		t.Errorf("forwardAuth has %q", got)
	}
	session := http.at("routers", "session")
	wantTree(t, "rule of session", session.at("rule"), "PathRegexp(`^"+ownPaths+"$`)")
	wantTree(t, "service of session", session.at("service"), "authhost")
	for service, url := range map[string]string{"authhost": "http://127.0.0.1:8080", "application": "http://127.0.0.1:3000"} {
		wantTree(t, service, http.at("services", service, "loadBalancer", "servers", "url"), url)
	}
}

func TestDocEnvoy(t *testing.T) {
	resources := shippedTree(t, "envoy.yaml").at("static_resources")
	manager := resources.at("listeners", "filter_chains", "filters", "typed_config")
	wantTree(t, "normalize_path", manager.at("normalize_path"), true)
	wantTree(t, "upgrade_configs", manager.at("upgrade_configs", "upgrade_type"), "websocket")
	wantTree(t, "underscores", manager.at("common_http_protocol_options", "headers_with_underscores_action"), "REJECT_REQUEST")

	filters := manager.at("http_filters").list()
	if len(filters) != 2 {
		t.Fatalf("%d filters", len(filters))
	}
	wantTree(t, "the last filter", filters[1].at("name"), "envoy.filters.http.router")
	auth := filters[0].at("typed_config")
	wantTree(t, "failure_mode_allow", auth.at("failure_mode_allow"), false)
	wantTree(t, "encode_raw_headers", auth.at("encode_raw_headers"), true)
	wantTree(t, "status_on_error", auth.at("status_on_error", "code"), "ServiceUnavailable")
	wantTree(t, "with_request_body", auth.at("with_request_body"), nil)
	wantTree(t, "path_prefix", auth.at("http_service", "path_prefix"), "/authz/ext-authz")
	response := auth.at("http_service", "authorization_response")
	var copied []string
	for _, pattern := range response.at("allowed_upstream_headers", "patterns").list() {
		name, _ := pattern.at("exact").any.(string)
		copied = append(copied, name)
	}
	if want := strings.Fields(strings.ToLower(strings.Join(identityHeaders, " "))); !slices.Equal(copied, want) {
		t.Errorf("allowed_upstream_headers are %q", copied)
	}
	if got := response.keys(); !slices.Equal(got, []string{"allowed_upstream_headers"}) {
		t.Errorf("authorization_response has %q", got)
	}

	application := manager.at("route_config", "virtual_hosts")
	removed := append(strings.Fields(strings.ToLower(strings.Join(mistaken, " "))), "x-forwarded-host")
	if got := application.at("request_headers_to_remove").texts(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(removed))) {
		t.Errorf("request_headers_to_remove are %q", got)
	}
	var open []string
	for _, route := range application.at("routes").list() {
		if route.at("typed_per_filter_config", "envoy.filters.http.ext_authz", "disabled").any == true {
			regex, _ := route.at("match", "safe_regex", "regex").any.(string)
			open = append(open, regex)
			wantTree(t, "cluster of an open route", route.at("route", "cluster"), "authhost")
		}
	}
	if !slices.Equal(open, []string{ownPaths}) {
		t.Errorf("open routes are %q", open)
	}
	for _, cluster := range resources.at("clusters").list() {
		name, _ := cluster.at("name").any.(string)
		endpoint := cluster.at("load_assignment", "endpoints", "lb_endpoints", "endpoint", "address", "socket_address")
		wantTree(t, "port of "+name, endpoint.at("port_value"), map[string]int{"authhost": 8080, "application": 3000}[name])
	}
}

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	metricName = regexp.MustCompile("`(authhost_[a-z_]+)(?:\\{([a-z0-9,]+)\\})?`")
	logField   = regexp.MustCompile("`([a-z_]+)`(?: and `([a-z_]+)`)? in the (?:log|answer)|the log's `([a-z_]+)`")
	sample     = regexp.MustCompile(`(?m)^(authhost_[a-z_]+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+$`)
	label      = regexp.MustCompile(`([a-z0-9]+)="`)
	alerted    = regexp.MustCompile(`(authhost_[a-z_]+)(?:\{([a-z]+)=)?`)
	tableRow   = regexp.MustCompile("(?m)^\\| ((?:`[a-z_0-9]+`(?:, )?)+) \\|")
	quoted     = regexp.MustCompile("`([a-z_0-9]+)`")
	reasonIn   = regexp.MustCompile(`(?:(?:Public|Reason):? *=? *|refuse\(|host\.Errorf\(host\.\w+, )"([a-z0-9]+(?:_[a-z0-9]+)+)"`)
)

// What docs/operating.md says can be seen of a running host, is seen: its
// statuses, metrics with their labels, log fields and endpoints.
func TestDocsOperating(t *testing.T) {
	text := page(t, "docs/operating.md")
	idp := newIssuer(t)
	token := strings.Repeat("0pe-", 8)
	dir := site(t, idp, gitops+"operator: {token_file: operator.tokens}\n")
	writeFile(t, filepath.Join(dir, "operator.tokens"), "ann "+token+"\n")
	writeFile(t, filepath.Join(dir, "trap.wasm"), string(guest([]byte{0}).Encode()))
	writeFile(t, filepath.Join(dir, "keeping.wasm"), string(keeping()))
	writeFile(t, filepath.Join(dir, "asking.wasm"), string(asking()))
	config := filepath.Join(dir, "authhost.yaml")
	content, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	l := newListener(t)
	l.up()
	writeFile(t, config, strings.NewReplacer("plugins:\n", strings.ReplaceAll(webhook(l), "PLUGINS", artifacts(t))+"  - {name: trap, module: trap.wasm}\n  - {name: keeping, module: keeping.wasm, capabilities: [{kv: {keys: 1}}]}\n"+
		"  - {name: asking, module: asking.wasm, capabilities: [{http: {hosts: [nobody.invalid]}}]}\n",
		"routes:\n", "routes:\n  - {path: /trap, plugins: [trap]}\n  - {path: /kept, plugins: [keeping]}\n  - {path: /asked, plugins: [asking]}\n",
		"    credentials: [", toldRealm+"    credentials: [").Replace(string(content)))
	h := serveFile(t, config)
	eventually(t, "ready", func() bool { return get(t, h.telemetry+"/readyz").status == http.StatusOK })

	for status, r := range map[int]answer{
		401: h.forwardAuth(t, "POST", "/api/gitops/sync", bearer("x.y.z")...),
		403: h.forwardAuth(t, "POST", "/api/gitops/sync", bearer(idp.token(t, "viewer", nil))...),
		400: h.forwardAuth(t, "POST", "/api//gitops/sync", bearer(idp.token(t, "viewer", nil))...),
		503: h.forwardAuth(t, "GET", "/trap", bearer(idp.token(t, "viewer", nil))...),
	} {
		if r.status != status || !strings.Contains(text, fmt.Sprintf("\n| %d |", status)) {
			t.Errorf("%d: %s", status, r)
		}
	}
	if a := h.forwardAuth(t, "GET", "/kept", bearer(idp.token(t, "viewer", nil))...); a.status != http.StatusOK {
		t.Errorf("a plugin that keeps: %s", a)
	}
	if a := h.forwardAuth(t, "GET", "/asked", bearer(idp.token(t, "viewer", nil))...); a.status != http.StatusServiceUnavailable {
		t.Errorf("a plugin that asks nobody: %s", a)
	}
	session := h.login(t, idp.token(t, "viewer", nil)).token
	h.logout(t, bearer(session)...)
	eventually(t, "the logout is told", func() bool { return l.count("logout") == 1 })
	reload := blocks(t, "docs/operating.md", "sh")[1]
	if !strings.HasPrefix(reload, "curl ") || !strings.Contains(reload, "http://127.0.0.1:8081/") {
		t.Fatalf("the reload by the operator is %s", reload)
	}
	reload = strings.Replace(strings.TrimSpace(reload), "http://127.0.0.1:8081", h.admin, 1)
	if b, err := shell(t, dir, strings.Replace(reload, "curl ", "curl -si ", 1), "OPERATOR_TOKEN="+token).Output(); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 204 ") {
		t.Errorf("%s: %v\n%s", reload, err, b)
	}

	writeFile(t, filepath.Join(dir, "trap.wasm"), "no module")
	if a := ask(t, "POST", h.admin+"/v1/plugins/trap/reload", bearer(token)...); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, `"step":"check"`) {
		t.Errorf("a broken module: %s", a)
	}
	shown := get(t, h.admin+"/v1/plugins/trap", bearer(token)...).body
	for _, field := range []string{"state", "sha256", "version", "generation", "last_error", "health", "last_attempt", "asked", "changed"} {
		if !strings.Contains(text, "`"+field+"`") || !strings.Contains(shown, `"`+field+`":`) {
			t.Errorf("%s is not in the page and in %s", field, shown)
		}
	}
	documentedMetrics(t, text, get(t, h.telemetry+"/metrics").body)
	log := h.log()
	for field := range logFields(t) {
		if !strings.Contains(log, `,"`+field+`":`) {
			t.Errorf("no line of the log has %s", field)
		}
	}
	found := 0
	for _, m := range logField.FindAllStringSubmatch(text, -1) {
		for _, field := range m[1:] {
			if field == "" {
				continue
			}
			if found++; !strings.Contains(log, `,"`+field+`":`) {
				t.Errorf("no line of the log has %s", field)
			}
		}
	}
	if found < 4 {
		t.Errorf("%d fields of the log found in the page", found)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		if a := get(t, h.telemetry+path); a.status != http.StatusOK || !strings.Contains(text, "`"+path+"`") {
			t.Errorf("%s: %s", path, a)
		}
	}
	if body := get(t, h.telemetry+"/readyz").body; !strings.Contains(body, `"ready":true`) || !strings.Contains(body, `"failing":[]`) {
		t.Errorf("/readyz: %s", body)
	}
}

// documentedMetrics wants every metric of the page in the body of /metrics,
// with exactly the labels that the page names, and all of authhost's on the page.
func documentedMetrics(t *testing.T, text, body string) {
	t.Helper()
	seen := map[string][]string{}
	for _, m := range sample.FindAllStringSubmatch(body, -1) {
		var labels []string
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			if l[1] != "le" {
				labels = append(labels, l[1])
			}
		}
		slices.Sort(labels)
		seen[m[1]] = slices.Compact(append(seen[m[1]], labels...))
		slices.Sort(seen[m[1]])
		seen[m[1]] = slices.Compact(seen[m[1]])
	}
	documented := map[string]bool{}
	for _, m := range metricName.FindAllStringSubmatch(text, -1) {
		documented[m[1]] = true
		var want []string
		if m[2] != "" {
			want = strings.Split(m[2], ",")
			slices.Sort(want)
		}
		if got, ok := seen[m[1]]; !ok || !slices.Equal(got, want) {
			t.Errorf("%s: labels %v, want %v (in /metrics: %v)", m[1], got, want, ok)
		}
	}
	alerts := 0
	for _, m := range alerted.FindAllStringSubmatch(strings.Join(blocks(t, "docs/operating.md", "yaml"), "\n"), -1) {
		alerts++
		if labels, ok := seen[m[1]]; !ok || m[2] != "" && !slices.Contains(labels, m[2]) {
			t.Errorf("an alert on %s, which has labels %v (in /metrics: %v)", m[0], labels, ok)
		}
	}
	if alerts < 8 {
		t.Errorf("%d metrics found in the alerts", alerts)
	}
	for name := range seen {
		if strings.HasPrefix(name, "authhost_") && !documented[name] {
			t.Errorf("%s is not in the page", name)
		}
	}
	if len(documented) < 8 {
		t.Errorf("%d metrics found in the page", len(documented))
	}
}

// rowsBelow are the words that begin the rows of the table below a heading of
// docs/operating.md.
func rowsBelow(t testing.TB, heading string) map[string]bool {
	t.Helper()
	_, section, found := strings.Cut(page(t, "docs/operating.md"), "\n### "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n#")
	words := map[string]bool{}
	for _, row := range tableRow.FindAllStringSubmatch(section, -1) {
		for _, m := range quoted.FindAllStringSubmatch(row[1], -1) {
			words[m[1]] = true
		}
	}
	if !found || len(words) < 10 {
		t.Fatalf("%d rows below %s", len(words), heading)
	}
	return words
}

func documentedReasons(t testing.TB) map[string]bool { t.Helper(); return rowsBelow(t, "Reasons") }
func logFields(t testing.TB) map[string]bool         { t.Helper(); return rowsBelow(t, "The log") }

// Each reason that the host can answer with has its row, and no row is about
// another.
func TestDocsReasons(t *testing.T) {
	documented := documentedReasons(t)
	given := map[string]bool{
		"default_allow": true, "key_limit": true, "attribute_limit": true, // in the text; the others no client is told
	}
	for name := range given {
		documented[name] = true
	}
	for _, name := range []string{"denied", "starting", "deactivated_by_operator"} { // of one word, or put together
		given[name] = true
	}
	err := filepath.WalkDir(filepath.Join(root, "host"), func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, m := range reasonIn.FindAllStringSubmatch(string(content), -1) {
			given[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range given {
		if !documented[name] {
			t.Errorf("%s is not in the page", name)
		}
	}
	for name := range documented {
		if !given[name] {
			t.Errorf("the page has %s, which is no reason", name)
		}
	}
}

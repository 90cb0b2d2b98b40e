package config_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/config"
)

// load writes text into a folder of its own and loads it, with the folder's
// name taken out of the error.
func load(t *testing.T, text string, environ ...string) (*config.Config, string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "authhost.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path, environ)
	if err != nil {
		return nil, strings.ReplaceAll(err.Error(), dir+"/", "")
	}
	return c, ""
}

func mustLoad(t *testing.T, text string, environ ...string) *config.Config {
	t.Helper()
	c, err := load(t, text, environ...)
	if err != "" {
		t.Fatal(err)
	}
	return c
}

func pattern(t *testing.T, text string) host.Pattern {
	t.Helper()
	p, err := host.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// exported copies a configuration's public part, for comparison.
func exported(c *config.Config) config.Config {
	return config.Config{Listen: c.Listen, Upstream: c.Upstream, TrustedProxies: c.TrustedProxies, Operator: c.Operator,
		IntrospectionClients: c.IntrospectionClients, Cache: c.Cache, Realms: c.Realms, Plugins: c.Plugins, Routes: c.Routes}
}

func defaults(dir string) config.Config {
	return config.Config{
		Listen: config.Listen{Public: "127.0.0.1:8080", Admin: "127.0.0.1:8081", Telemetry: "127.0.0.1:9090"},
		TrustedProxies: []netip.Prefix{
			netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128"),
		},
		IntrospectionClients: []config.IntrospectionClient{},
		Cache: config.Cache{
			Driver: config.DriverFile,
			File:   config.FileCache{Dir: filepath.Join(dir, "data")},
			Redis:  config.RedisCache{Addrs: []string{"127.0.0.1:6379"}},
			Etcd:   config.EtcdCache{Endpoints: []string{"127.0.0.1:2379"}},
			Near:   config.NearCache{MaxStaleness: time.Second, Entries: 100_000},
		},
		Realms: []config.Realm{{
			Name:        "main",
			Hosts:       []string{"*"},
			Issuers:     []config.Issuer{},
			Credentials: []config.Credential{{Header: "Authorization"}, {Header: "X-Auth-Token"}, {Cookie: "__Host-authhost"}},
			Session: config.Session{Idle: 8 * time.Hour, Absolute: 24 * time.Hour, MaxSessions: 100, WhenFull: config.WhenFullEndOldest,
				Cookie: config.Cookie{Name: "__Host-authhost", SameSite: config.SameSiteStrict}},
			Roles:   config.Roles{Admin: "admin"},
			Plugins: []string{},
		}},
		Plugins: []config.Plugin{},
		Routes:  []config.Route{},
	}
}

func TestDefaults(t *testing.T) {
	c := mustLoad(t, "{}")
	if got, want := exported(c), defaults(filepath.Dir(c.Files()[0])); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDefaultsOfEntries(t *testing.T) {
	c := mustLoad(t, `
realms: [{issuers: [{issuer: i, audiences: [a], jwks_file: /k.json}]}]
plugins: [{name: p, module: /p.wasm}]
routes: [{path: /x}]
`)
	wantIssuer := config.Issuer{Issuer: "i", Audiences: []string{"a"}, Algorithms: []string{"RS256"}, JWKSFile: "/k.json",
		JWKSMaxAge: 24 * time.Hour, MaxTokenLife: 24 * time.Hour, RolesClaim: "roles", Leeway: 30 * time.Second,
		Revocation: config.RevocationRequired}
	if got := c.Realms[0].Issuers[0]; !reflect.DeepEqual(got, wantIssuer) {
		t.Errorf("issuer: got %+v", got)
	}
	wantPlugin := config.Plugin{Name: "p", Module: "/p.wasm", Config: config.JSON("{}"), Headers: []string{},
		Isolation: "none", MaxChanged: -1, PublicKeys: []string{}, Limits: config.Limits{Memory: 32 << 20, Time: 50 * time.Millisecond}}
	if got := c.Plugins[0]; !reflect.DeepEqual(got, wantPlugin) {
		t.Errorf("plugin: got %+v", got)
	}
	wantRoute := config.Route{Path: pattern(t, "/x"), Hosts: []string{}, Methods: []string{}, Plugins: []string{}, Default: config.DefaultDeny}
	if got := c.Routes[0]; !reflect.DeepEqual(got, wantRoute) {
		t.Errorf("route: got %+v", got)
	}
}

func TestFullExample(t *testing.T) {
	c, err := config.Load("testdata/full.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := defaults("testdata")
	want.Upstream = "http://127.0.0.1:3000"
	want.Operator = &config.Operator{TokenFile: "testdata/operator.tokens"}
	realm := &want.Realms[0]
	realm.Issuers = []config.Issuer{{Issuer: "https://idp.example", Audiences: []string{"console"}, Algorithms: []string{"RS256"},
		JWKSURL: "https://idp.example/jwks.json", JWKSMaxAge: 24 * time.Hour, MaxTokenLife: 24 * time.Hour,
		RolesClaim: "roles", Leeway: 30 * time.Second, Revocation: "required"}}
	realm.Credentials = []config.Credential{{Header: "Authorization"}, {Header: "X-Auth-Token"}, {Cookie: "kc_auth"},
		{Query: "_token", Paths: []host.Pattern{pattern(t, "/events"), pattern(t, "/ws/**")}}, {Cookie: "__Host-authhost"}}
	plugin := func(name, json string) config.Plugin {
		return config.Plugin{Name: name, Module: "testdata/plugins/" + name + "/" + name + ".wasm", Config: config.JSON(json),
			Headers: []string{}, Isolation: "none", MaxChanged: -1, PublicKeys: []string{},
			Limits: config.Limits{Memory: 32 << 20, Time: 50 * time.Millisecond}}
	}
	want.Plugins = []config.Plugin{
		plugin("cookie-fallback", `{"allow_user_change":false,"cookies":["kc_auth"]}`),
		plugin("rbac-gitops", `{"rules":[{"methods":["POST"],"path":"/api/gitops/sync","role":"editor"},`+
			`{"methods":["POST"],"path":"/api/gitops/detect-drift","role":"viewer"}]}`),
	}
	want.Routes = []config.Route{
		{Path: pattern(t, "/healthz"), Hosts: []string{}, Methods: []string{}, Authenticate: host.None, Plugins: []string{}, Default: "deny"},
		{Path: pattern(t, "/**"), Hosts: []string{}, Methods: []string{}, Plugins: []string{"cookie-fallback", "rbac-gitops"}, Default: "allow"},
	}
	if got := exported(c); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestValuesAreNormalised(t *testing.T) {
	c := mustLoad(t, `
trusted_proxies: [10.1.2.3/8, 192.0.2.1, "2001:db8::1"]
realms:
  - hosts: ["Console.Example", "*.Sub_1.example", "[2001:DB8:0::1]", "::1"]
    credentials: [{cookie: own}, {header: x-auth-token}]
    session: {cookie: {name: own, insecure_http: true}}
plugins:
  - name: p
    module: p.wasm
    sha256: ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789
    headers: [x-team]
    limits: {memory: 1048576}
    config: {z: 1, a: [2024-01-01, yes, 9007199254740993, 1.5, null, "<&>", {2: b, "10": c}]}
routes: [{path: /x, authenticate: optional}]
`)
	for _, c := range []struct{ got, want any }{
		{c.TrustedProxies, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::1/128")}},
		{c.Realms[0].Hosts, []string{"console.example", "*.sub_1.example", "[2001:db8::1]", "[::1]"}},
		{c.Realms[0].Credentials, []config.Credential{{Cookie: "own"}, {Header: "X-Auth-Token"}}},
		{c.Plugins[0].SHA256, strings.Repeat("abcdef0123456789", 4)},
		{c.Plugins[0].Headers, []string{"X-Team"}},
		{c.Plugins[0].Limits.Memory, config.Size(1 << 20)},
		{string(c.Plugins[0].Config), `{"a":["2024-01-01","yes",9007199254740993,1.5,null,"<&>",{"10":"c","2":"b"}],"z":1}`},
		{c.Routes[0].Authenticate, host.Optional},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
}

func TestAnchorsAndMergeKeys(t *testing.T) {
	c := mustLoad(t, `
realms:
  - &base
    name: one
    hosts: [one.example]
    session: &session {idle: 1h, absolute: 2h}
  - <<: *base
    name: two
    hosts: [two.example]
    session: {<<: [*session, {idle: 5h, outlive_token: true}], absolute: 3h}
`)
	one, two := c.Realms[0].Session, c.Realms[1].Session
	if c.Realms[1].Name != "two" || one.Idle != time.Hour || two.Idle != time.Hour || two.Absolute != 3*time.Hour || !two.OutliveToken {
		t.Errorf("got %+v and %+v", one, two)
	}
}

func TestPluginConfigMayBeAnything(t *testing.T) {
	for text, want := range map[string]string{"{}": "{}", "null": "null", "[1, a]": `[1,"a"]`, "text": `"text"`, "": "null"} {
		c := mustLoad(t, "plugins: [{name: p, module: m, config: "+text+"}]")
		if got := string(c.Plugins[0].Config); got != want {
			t.Errorf("config: %s became %s, want %s", text, got, want)
		}
	}
}

func TestRelativePathsCountFromTheFilesFolder(t *testing.T) {
	c := mustLoad(t, `
operator: {token_file: ops/tokens}
cache: {file: {dir: /var/lib/authhost}, redis: {password_file: ../redis.pw}}
realms:
  - issuers:
      - {issuer: a, audiences: [x], jwks_file: keys.json}
      - {issuer: b, audiences: [x], algorithms: [HS256], secret_file: b.secret}
      - {issuer: c, audiences: [x], algorithms: [HS256], secret_file: b.secret}
plugins: [{name: p, module: plugins/p.wasm}]
`)
	file := c.Files()[0]
	dir := filepath.Dir(file)
	for got, want := range map[string]string{
		c.Operator.TokenFile:              filepath.Join(dir, "ops/tokens"),
		c.Cache.File.Dir:                  "/var/lib/authhost",
		c.Cache.Redis.PasswordFile:        filepath.Join(filepath.Dir(dir), "redis.pw"),
		c.Realms[0].Issuers[0].JWKSFile:   filepath.Join(dir, "keys.json"),
		c.Realms[0].Issuers[1].SecretFile: filepath.Join(dir, "b.secret"),
		c.Plugins[0].Module:               filepath.Join(dir, "plugins/p.wasm"),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got, want := c.Files(), []string{file, filepath.Join(dir, "ops/tokens")}; !reflect.DeepEqual(got, want) {
		t.Errorf("Files: got %v, want %v", got, want)
	}
}

func TestFileAsAWhole(t *testing.T) {
	bomb := "plugins:\n- name: p\n  module: p\n  config:\n    a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 8 {
		name, before := string(rune('b'+i)), string(rune('a'+i))
		bomb += "    " + name + ": &" + name + " [" + strings.Repeat("*"+before+", ", 9) + "*" + before + "]\n"
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":            {"", "authhost.yaml:1: the file holds no configuration; write {} for the defaults alone"},
		"comments alone":   {"# nothing\n", "authhost.yaml:1: the file holds no configuration; write {} for the defaults alone"},
		"null":             {"---\n~\n", "authhost.yaml:1: the file holds no configuration; write {} for the defaults alone"},
		"a list":           {"- a\n", "authhost.yaml:1: must be a mapping, such as {key: value}"},
		"two documents":    {"upstream: http://a\n---\nupstream: http://b\n", "authhost.yaml:2: a second document begins; keep one"},
		"syntax":           {"listen:\n  public: [a\nupstream: b\n", "authhost.yaml:2: did not find expected ',' or ']'"},
		"a colon too many": {"# x\nlisten: a: b\n", "authhost.yaml:2: mapping values are not allowed in this context"},
		"indent":           {"{}\nlisten:\n", "authhost.yaml:2: did not find expected <document start>"},
		"first line":       {"]", "authhost.yaml:1: did not find expected node content"},
		"control":          {"a: 1\nb: \x01\n", "authhost.yaml:2: control characters are not allowed"},
		"not UTF-8":        {"a: 1\nb: \xff\n", "authhost.yaml:2: invalid leading UTF-8 octet"},
		"tab":              {"listen:\n\tpublic: a\n", "authhost.yaml:2: a tab: YAML is indented by blanks"},
		"tab, deeper":      {"realms:\n  - name: a\n  \thosts: [a]\n", "authhost.yaml:3: a tab: YAML is indented by blanks"},
		"tab after a key":  {"listen:\n  public: a\n\tadmin: b\n", "authhost.yaml:3: a tab: YAML is indented by blanks"},
		"no token":         {"listen: @a\n", "authhost.yaml:1: found character that cannot start any token"},
		"unknown anchor":   {"# x\nlisten: *x\n", "authhost.yaml:2: unknown anchor 'x' referenced"},
		"alias of itself":  {"plugins: [{name: p, module: m, config: &a [*a]}]\n", "authhost.yaml:1: the document nests too deep, or its aliases repeat too much"},
		"merge of itself":  {"listen: &a {<<: *a}\n", "authhost.yaml:1: the document nests too deep, or its aliases repeat too much"},
		"alias bomb":       {bomb, "authhost.yaml:1: the document nests too deep, or its aliases repeat too much"},
		"too large":        {strings.Repeat("# filler\n", 600_000), "authhost.yaml: is larger than 4194304 bytes"},
		"the brief form": {"realms:\n  - issuers:\n      - issuer: https://idp.example\n        audiences: [console]\n        jwks_url: https://idp.example/jwks\n        algorithms: [none]\n",
			`authhost.yaml:6: realms[0].issuers[0].algorithms: "none" is refused`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := load(t, c.text); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	if _, err := config.Load("testdata/absent.yaml", nil); err == nil || err.Error() != "testdata/absent.yaml: cannot be read: no such file or directory" {
		t.Errorf("absent file: %v", err)
	}
	if _, err := config.Load("testdata", nil); err == nil || err.Error() != "testdata: cannot be read: is a directory" {
		t.Errorf("folder: %v", err)
	}
}

func TestCapabilities(t *testing.T) {
	c := mustLoad(t, `plugins: [{name: p, module: p.wasm, capabilities: [credentials, &kv {kv: {keys: 7}}]}, {name: q, module: q.wasm, capabilities: [*kv, session]}]`)
	for i, want := range []config.Capabilities{
		{Credentials: true, KV: &config.KV{Keys: 7}},
		{Session: true, KV: &config.KV{Keys: 7}},
	} {
		if got := c.Plugins[i].Capabilities; !reflect.DeepEqual(got, want) {
			t.Errorf("plugin %d: %+v, want %+v", i, got, want)
		}
	}
}

package conformance_test

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/cases"
)

// This host makes of a request the frame that the echo guest of any language
// reads whole, and takes its answer.
func TestThisHost(t *testing.T) {
	logs := &lines{}
	now := time.Unix(1767225600, 0) // moves by hand, so that the bound on lines a second is never met
	plugins := loader(t, "testdata/echo")([]byte(`{"a":1}`), plugin.Options{
		Logger: slog.New(logs), Headers: []string{"X-Team"}, Now: func() time.Time { return now },
		KV: &cases.World{}, Sessions: &cases.World{}, HTTP: &cases.World{}})
	c := call("POST", "/api/gitops/\xff")
	c.Identity.Roles, c.Identity.Groups, c.Identity.Email = []string{"viewer", "editor"}, []string{"café"}, "ada@example.com"
	c.Identity.SessionID = "ses_mfrggzdfmztwq"
	c.Identity.Claims = map[string]any{"team": "ops"}
	c.Request.Header = http.Header{"X-Echo": {"=2", "s404", "rnot here", "hX-Team:ops", "?10x-a", "?40team", "?20none", "l2done"}, "X-A": {"one"}}
	want := []string{
		"DEBUG method", "INFO POST", "DEBUG scheme", "INFO https", "DEBUG host", "INFO console.example",
		"DEBUG path", "INFO /api/gitops/\uFFFD", "DEBUG raw_path", "INFO /raw", "DEBUG query", "INFO dry=1",
		"DEBUG client", "INFO 203.0.113.7", "DEBUG time", "INFO 1767225600", "DEBUG route", "INFO /**", "DEBUG realm", "INFO main",
		"DEBUG user_id", "INFO " + c.Identity.UserID, "DEBUG issuer", "INFO https://idp.example", "DEBUG subject", "INFO ada",
		"DEBUG role", "INFO viewer", "DEBUG role", "INFO editor", "DEBUG group", "INFO café", "DEBUG email", "INFO ada@example.com",
		"DEBUG session_id", "INFO ses_mfrggzdfmztwq", "DEBUG credential", "INFO header/jwt", "DEBUG expires", "INFO 1767229200",
		"DEBUG ?10x-a", "INFO one", "DEBUG ?40team", "INFO ops", "DEBUG ?20none", "WARN ", "WARN done",
	}
	header := c.Request.Header["X-Echo"]
	opinion := host.Opinion{Effect: host.Deny, Kind: host.NotFound, Reason: "not here", Headers: []host.Header{{Name: "X-Team", Value: "ops"}}}
	for i, p := range plugins {
		if got := logs.take(); i == 0 && !slices.Equal(got, slices.Repeat([]string{"DEBUG config", `INFO {"a":1}`}, len(plugins))) {
			t.Errorf("configure said %q", got)
		}
		c.Request.Header["X-Echo"] = header
		if got, err := p.Authorize(t.Context(), c); err != nil || !reflect.DeepEqual(got, opinion) {
			t.Errorf("%s: %+v, %v, want %+v", p.Name(), got, err, opinion)
		}
		if got := logs.take(); !slices.Equal(got, want) {
			t.Errorf("%s: said\n%q, want\n%q", p.Name(), got, want)
		}

		now = now.Add(time.Minute)
		c.Request.Header["X-Echo"] = []string{"!"}
		if _, err := p.Authorize(t.Context(), c); err == nil {
			t.Errorf("%s: a call that fails was answered", p.Name())
		}
		want, said := map[string]string{"Go": "panic: as told", "Rust": "panic at testdata/echo.rs:", "AssemblyScript": "as told at testdata/echo.ts:", "C": "as told"}, strings.Join(logs.take(), "|")
		if !strings.Contains(said, want[p.Name()]) {
			t.Errorf("%s: said %s, want %s", p.Name(), said, want[p.Name()])
		}

		now = now.Add(time.Minute)
		try := call("GET", "/")
		try.Identity, try.Request.Header = nil, http.Header{"X-Echo": {"c1", "rthe cookie"}}
		try.Found = []host.Credential{{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT}, {Source: host.FromCookie, Name: "kc_auth", Kind: host.JWT}}
		try.Candidates = []host.Candidate{
			{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT, Verdict: host.Expired},
			{Source: host.FromCookie, Name: "kc_auth", Kind: host.JWT, UserID: c.Identity.UserID},
		}
		got, err := p.Choose(t.Context(), try)
		if want := (host.Choice{Effect: host.Allow, Candidate: 1, Reason: "the cookie"}); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", p.Name(), got, err, want)
		}
		said = strings.Join(logs.take(), "|")
		if want := "DEBUG candidate|DEBUG source|INFO 1|DEBUG kind|INFO 1|DEBUG verdict|INFO 4|DEBUG name|INFO Authorization|" +
			"DEBUG candidate|DEBUG source|INFO 2|DEBUG kind|INFO 1|DEBUG name|INFO kc_auth|DEBUG user_id|INFO " + c.Identity.UserID; !strings.HasSuffix(said, want) {
			t.Errorf("%s: said\n%s, want at the end\n%s", p.Name(), said, want)
		}
	}
}

// counts keeps what guests count.
type counts map[string]int64

func (c counts) PluginMetric(plugin, name string, delta int64) { c[plugin+" "+name] += delta }
func (counts) PluginState(string, string, string, string)      {}
func (counts) PluginFetch(string, string)                      {}

// fetcher answers what is to be fetched.
type fetcher func(host.Fetch) host.Fetched

func (f fetcher) Fetch(_ context.Context, r host.Fetch) host.Fetched { return f(r) }

// This host keeps, counts and fetches what the echo guest of any language wants,
// and asks it about sessions.
func TestThisHostDoesAsItIsAsked(t *testing.T) {
	logs, counted, world := &lines{}, counts{}, &cases.World{Keys: 1}
	now := time.Unix(1767225600, 0)
	var sent []host.Fetch
	var header http.Header // of the request that is decided
	plugins := loader(t, "testdata/echo")(nil, plugin.Options{
		Logger: slog.New(logs), Headers: []string{"X-Team"}, Now: func() time.Time { return now },
		KV: world, Sessions: world, Counts: counted,
		HTTP: fetcher(func(r host.Fetch) host.Fetched {
			sent = append(sent, r)
			header["X-Echo"] = []string{"=1"}
			return host.Fetched{Status: 418, Body: []byte("a teapot")}
		})})
	for _, p := range plugins {
		world.Clear()
		said := func(what string, want ...string) {
			t.Helper()
			got := logs.take()
			if len(got) < len(want) || !slices.Equal(got[len(got)-len(want):], want) {
				t.Errorf("%s: %s: said\n%q, want at the end\n%q", p.Name(), what, got, want)
			}
			now = now.Add(time.Minute)
		}
		said("before")

		c := call("GET", "/")
		c.Identity.SessionID = "ses_1"
		c.Request.Header = http.Header{"X-Echo": {
			"agtier", "actier:gold", "actier:gold", "agtier", "astier:gold:silver", "agtier", "adtier:silver",
			"kgn", "ka60000:n:-5", "kgn", "kp1000:m:x", "kc1000:n:x", "ks1000:n:-5:x", "ka1000:n:1", "kdn", "kc1000:n:9", "kin:9", "m2"}}
		if _, err := p.Authorize(t.Context(), c); err != nil {
			t.Errorf("%s: %v", p.Name(), err)
		}
		said("keys and attributes",
			"DEBUG agtier", "WARN ", "DEBUG actier:gold", "INFO done", "DEBUG actier:gold", "INFO other", "DEBUG agtier", "INFO gold",
			"DEBUG astier:gold:silver", "INFO done", "DEBUG agtier", "INFO silver", "DEBUG adtier:silver", "INFO done",
			"DEBUG kgn", "WARN ", "DEBUG ka60000:n:-5", "INFO -5", "DEBUG kgn", "INFO -5", "DEBUG kp1000:m:x", "INFO full",
			"DEBUG kc1000:n:x", "INFO other", "DEBUG ks1000:n:-5:x", "INFO done", "DEBUG ka1000:n:1", "INFO other",
			"DEBUG kdn", "DEBUG kc1000:n:9", "INFO done", "DEBUG kin:9", "INFO done")
		if n := counted[p.Name()+" echo"]; n != 2 {
			t.Errorf("%s: counted %d", p.Name(), n)
		}

		header = http.Header{"X-Echo": {"fPOST https://policy.example/x", "+hX-A:b", "+bbody", "+sround 1"}}
		c.Request.Header = header
		want := host.Fetch{Method: "POST", URL: "https://policy.example/x", Headers: []host.Header{{Name: "X-A", Value: "b"}}, Body: []byte("body")}
		if got, err := p.Authorize(t.Context(), c); err != nil || got.Effect != host.Allow || len(sent) != 1 || !reflect.DeepEqual(sent[0], want) {
			t.Errorf("%s: %+v, %v, sent %+v", p.Name(), got, err, sent)
		}
		sent = nil
		said("a fetch", "DEBUG fetched", "DEBUG fetch_status", "INFO 418", "DEBUG fetch_body", "INFO a teapot", "DEBUG fetch_blob", "INFO round 1")

		in := func(d time.Duration) string { return strconv.FormatInt(c.Now.Add(d).UnixMilli(), 10) }
		c = call("POST", "/v1/login")
		c.Route, c.Terms = "", &host.Terms{Idle: c.Now.Add(time.Hour).UTC(), Absolute: c.Now.Add(2 * time.Hour).UTC()}
		c.Request.Header = http.Header{"X-Echo": {"d" + in(time.Hour), "i" + in(time.Minute), "ttier:gold", "rwelcome"}}
		admitted := host.Admission{Reason: "welcome", Terms: host.Terms{Idle: c.Now.Add(time.Minute).UTC(), Absolute: c.Now.Add(time.Hour).UTC(), Attributes: map[string]string{"tier": "gold"}}}
		if got, err := p.Admit(t.Context(), c); err != nil || !reflect.DeepEqual(got, admitted) {
			t.Errorf("%s: %+v, %v, want %+v", p.Name(), got, err, admitted)
		}
		said("on_login", "DEBUG credential", "INFO header/jwt", "DEBUG expires", "INFO 1767229200", "DEBUG idle", "INFO "+in(time.Hour), "DEBUG absolute", "INFO "+in(2*time.Hour))
		c.Request.Header = http.Header{"X-Echo": {"=2", "s429", "rslow down", "hRetry-After:3"}}
		refused := host.Admission{Refused: true, Kind: host.TooManyRequests, Reason: "slow down", Headers: []host.Header{{Name: "Retry-After", Value: "3"}}}
		if got, err := p.Admit(t.Context(), c); err != nil || !reflect.DeepEqual(got, refused) {
			t.Errorf("%s: %+v, %v, want %+v", p.Name(), got, err, refused)
		}
		said("a refused login")

		end := &host.Call{Now: c.Now, Realm: "main", Ended: &host.Ended{ID: "evt_a", UserID: "usr_a", Issuer: "https://idp.example", Subject: "ada",
			What: host.EndedSession, Why: host.WhyIdle, At: c.Now, Sessions: []string{"ses_a", "ses_b", "kc1000:end:x", "agtier", "fPOST https://hooks.example/", "+bgone", "fGET https://b.example/"}}}
		messages := []host.Fetch{{Method: "POST", URL: "https://hooks.example/", Body: []byte("gone")}, {Method: "GET", URL: "https://b.example/"}}
		if got, err := p.Notify(t.Context(), end); err != nil || !reflect.DeepEqual(got, messages) {
			t.Errorf("%s: %+v, %v, want %+v", p.Name(), got, err, messages)
		}
		said("on_logout", "DEBUG realm", "INFO main", "DEBUG user_id", "INFO usr_a", "DEBUG issuer", "INFO https://idp.example", "DEBUG subject", "INFO ada",
			"DEBUG event_id", "INFO evt_a", "DEBUG why", "INFO idle", "DEBUG by_rank", "INFO host", "DEBUG ended", "INFO "+in(0), "DEBUG what", "INFO session",
			"DEBUG session", "INFO ses_a", "DEBUG session", "INFO ses_b", "DEBUG session", "INFO kc1000:end:x", "DEBUG session", "INFO agtier",
			"DEBUG session", "INFO fPOST https://hooks.example/", "DEBUG session", "INFO +bgone", "DEBUG session", "INFO fGET https://b.example/",
			"DEBUG kc1000:end:x", "INFO done", "DEBUG agtier", "WARN ")
	}
}

// What a plugin does not use it neither imports nor exports; the echo guest uses
// everything.
func TestPluginsDeclareWhatTheyUse(t *testing.T) {
	for guest, want := range map[string]struct{ hooks, imports []string }{
		"example/rbac": {[]string{"configure", "on_authorize"}, []string{"get", "log"}},
		"testdata/echo": {[]string{"configure", "on_authorize", "on_credential", "on_login", "on_logout"},
			[]string{"fetch", "get", "kv_add", "kv_get", "kv_set", "log", "metric", "session_get", "session_set"}},
	} {
		config := map[string][]byte{"example/rbac": []byte(`["GET / viewer"]`)}[guest]
		for _, p := range loader(t, guest)(config, plugin.Options{KV: &cases.World{}, Sessions: &cases.World{}, HTTP: &cases.World{}}) {
			var imports []string
			for _, i := range p.Imports() {
				if i.Module == "authhost" {
					imports = append(imports, i.Name)
				}
			}
			slices.Sort(imports)
			hooks := slices.Sorted(slices.Values(p.Hooks()))
			needless := slices.DeleteFunc(slices.Clone(imports), func(name string) bool { return slices.Contains(want.imports, name) })
			if !slices.Equal(hooks, want.hooks) || len(needless) > 0 || guest == "testdata/echo" && len(imports) != len(want.imports) {
				t.Errorf("%s of %s has %q and imports %q", guest, p.Name(), hooks, imports)
			}
		}
	}
}

// lines keeps what guests say.
type lines struct {
	slog.Handler
	said []string
}

func (*lines) Enabled(context.Context, slog.Level) bool { return true }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "text" {
			l.said = append(l.said, r.Level.String()+" "+a.Value.String())
		}
		return true
	})
	return nil
}

func (l *lines) take() []string {
	said := l.said
	l.said = nil
	return said
}

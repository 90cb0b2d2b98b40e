package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/authhost/authhost/abi"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// A plugin that loops or traps when a user logs in costs that login a 503, and
// nothing of a session is there; one that does when a user has logged out costs
// nobody anything, and is asked again until there is a better one.
func TestHostileGuestsOfARealm(t *testing.T) {
	t.Parallel()
	for name, body := range map[string][]byte{
		"loop": Join(Forever(), Const64(int64(abi.CodeGoOn))),
		"trap": Op(Unreachable),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startHostileRealm(t, body)
			alice, bob := r.login(t, r.idp.token(t, "alice", nil)), r.login(t, r.idp.token(t, "bob", nil))

			r.logout(t, bearer(alice.token)...)
			if n := r.failed(t, "ends", abi.OnLogout); name == "loop" && n != 0 {
				t.Errorf("the logout was answered when on_logout had failed %v times: it waited for that", n)
			}
			r.expect(t, http.StatusUnauthorized, "logged out", bearer(alice.token)...)
			r.expect(t, http.StatusOK, "another user's", bearer(bob.token)...)
			eventually(t, "on_logout fails", func() bool { return r.failed(t, "ends", abi.OnLogout) > 0 })
			r.expect(t, http.StatusUnauthorized, "logged out, and on_logout failed", bearer(alice.token)...)

			r.replace(t, "door", hooked(abi.OnLogin, body).Encode())
			r.refused(t, "carol")
			r.expect(t, http.StatusOK, "another user's, beside a login that fails", bearer(bob.token)...)
			r.logout(t, bearer(bob.token)...)
			r.expect(t, http.StatusUnauthorized, "logged out beside it", bearer(bob.token)...)
			if n := r.failed(t, "tiny", abi.OnAuthorize); n != 0 {
				t.Errorf("%v errors of a plugin that behaves", n)
			}
			if n := r.told(); n != 0 {
				t.Errorf("told of %d ends by a plugin that cannot", n)
			}

			r.replace(t, "door", goingOn())
			carol := r.login(t, r.idp.token(t, "carol", nil))
			r.expect(t, http.StatusOK, "who was refused", bearer(carol.token)...)
			r.replace(t, "ends", telling(r.listener.URL))
			eventually(t, "both logouts are told by a better plugin", func() bool { return r.told() == 2 })
			r.expect(t, http.StatusOK, "who is still there", bearer(carol.token)...)
		})
	}
}

// hostileRealm is a host with plugins of a realm that are replaced as the test
// goes, and of a route one that behaves.
type hostileRealm struct {
	*authhost
	idp      *issuer
	cache    *shared
	dir      string // of the modules, each by its plugin's name
	listener *httptest.Server
	keys     sync.Map // of the messages that came to it
}

// told returns of how many ends.
func (r *hostileRealm) told() (n int) {
	r.keys.Range(func(any, any) bool { n++; return true })
	return n
}

// startHostileRealm runs one whose on_logout has that body.
func startHostileRealm(t *testing.T, body []byte) *hostileRealm {
	t.Helper()
	r := &hostileRealm{idp: newIssuer(t), cache: startShared(t, "file"), dir: t.TempDir()}
	r.listener = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		r.keys.Store(q.Header.Get("Idempotency-Key"), true)
	}))
	t.Cleanup(r.listener.Close)
	for name, module := range map[string][]byte{"door": goingOn(), "ends": hooked(abi.OnLogout, body).Encode(), "tiny": allowing()} {
		writeFile(t, filepath.Join(r.dir, name+".wasm"), string(module))
	}
	r.authhost = serveAll(t, 1, strings.ReplaceAll(r.idp.realm("    plugins: [door, ends]\n")+r.cache.config(r.cache.at, 0)+fmt.Sprintf(`
plugins:
  - {name: door, module: MODULES/door.wasm}
  - {name: ends, module: MODULES/ends.wasm, capabilities: [{http: {hosts: [%q], private: true}}], limits: {time: 500ms}}
  - {name: tiny, module: MODULES/tiny.wasm}
routes: [{path: "/**", plugins: [tiny], default: deny}]
`, r.listener.Listener.Addr()), "MODULES", r.dir))[0]
	return r
}

// goingOn is a module that lets everybody log in.
func goingOn() []byte { return hooked(abi.OnLogin, Const64(int64(abi.CodeGoOn))).Encode() }

// failed returns how often a plugin failed.
func (r *hostileRealm) failed(t testing.TB, plugin string, hook abi.Hook) float64 {
	t.Helper()
	return r.metric(t, "authhost_plugin_errors_total", `plugin="`+plugin+`"`, `hook="`+hook.String()+`"`)
}

// replace puts another module in the place of a plugin's, and waits until that
// serves.
func (r *hostileRealm) replace(t *testing.T, plugin string, module []byte) {
	t.Helper()
	before := r.plugin(t, plugin).Generation
	replaceFile(t, filepath.Join(r.dir, plugin+".wasm"), string(module))
	eventually(t, "another "+plugin, func() bool { return r.plugin(t, plugin).Generation > before })
}

// refused wants a user's login to fail with nothing left behind, and nothing
// told of why.
func (r *hostileRealm) refused(t *testing.T, user string) {
	t.Helper()
	slots := func() []string {
		t.Helper()
		all, following, err := r.cache.open(t).List(t.Context(), "", 10)
		if err != nil || following != "" {
			t.Fatal(following, err)
		}
		return slices.Sorted(slices.Values(all))
	}
	before := slots()
	a := ask(t, "POST", r.public+"/v1/login", bearer(r.idp.token(t, user, nil))...)
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.header.Get("X-Auth-Token") != "" || a.header.Get("Set-Cookie") != "" {
		t.Errorf("login: %s %v", a, a.header)
	}
	if strings.Contains(a.body, "wasm") || strings.Contains(a.body, abi.OnLogin.String()) {
		t.Errorf("the client is told %s", a.body)
	}
	if after := slots(); len(before) != 2 || !slices.Equal(after, before) {
		t.Errorf("slots %q became %q", before, after)
	}
	if n := r.failed(t, "door", abi.OnLogin); n != 1 {
		t.Errorf("%v errors of on_login are counted, want 1", n)
	}
}

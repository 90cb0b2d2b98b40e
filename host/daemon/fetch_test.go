package daemon

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// asker is a plugin that has a URL fetched and denies, with why there was no
// answer or else the answer's body as its reason.
func asker(method, url string) string {
	const buffer, data = 1024, 40 << 10
	question := abi.AppendAnswer(nil, abi.Answer{Request: &abi.Request{Method: method, URL: url}})
	get := func(f abi.Field, size int32) []byte {
		return Join(Const32(int32(abi.GetField)), Const32(0), Const32(0), Const32(int32(f)), Const32(buffer+8), Const32(size), Call(0))
	}
	ifAbsent := func(then ...[]byte) []byte { return Join(Const32(0), Op(0x48, 0x04, 0x40), Join(then...), Op(0x0b)) }
	keep, length := Op(0x22, 1), Local(1)
	return string(Module{MinPages: 1, Data: map[uint32]string{data: string(question)},
		Imports: []Import{{Module: "authhost", Name: "get", Params: []byte{I32, I32, I32, I32, I32, I32}, Results: []byte{I32}}, {Module: "authhost", Name: "fetch"}},
		Funcs: []Func{
			{Export: abi.Marker},
			{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(buffer<<32 | 32<<10)},
			{Export: abi.OnAuthorize.String(), Params: []byte{I32}, Results: []byte{I64}, Locals: []byte{I32}, Body: Join(
				get(abi.FieldFetchStatus, 0), ifAbsent(
					Const32(buffer), Const32(data), Const32(int32(len(question))), Op(0xfc, 0x0a, 0, 0), // memory.copy
					Const64(int64(len(question))<<32|int64(abi.CodeFetch)), Op(Return)),
				get(abi.FieldFetchError, 1024), keep, ifAbsent(get(abi.FieldFetchBody, 1024), Set(1)),
				Const32(buffer), Const32(int32(abi.AnswerReason)), Op(0x36, 2, 0), Const32(buffer+4), length, Op(0x36, 2, 0), // i32.store
				length, Const32(8), Op(0x6a, ExtendU), Const64(32), Op(0x86), Const64(int64(abi.CodeNo)), Op(0x84)), // shifted, or
			},
		}}.Encode())
}

// What a plugin of the configuration has fetched comes from where its entry
// says, and from nowhere else: not where a redirect leads, not from the address
// of a private network without the grant for that.
func TestAttackPlugin_fetch_redirected_to_a_private_address(t *testing.T) {
	var reached atomic.Int64
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer private.Close()
	public := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			w.Header().Set("Location", private.URL)
			w.WriteHeader(http.StatusFound)
		}
		fmt.Fprintf(w, "answer to %s", r.URL.Path)
	}))
	defer public.Close()
	public1, private1 := strings.TrimPrefix(public.URL, "http://"), strings.TrimPrefix(private.URL, "http://")
	grant := "capabilities: [{http: {hosts: ['" + public1 + "'], private: true}}]"
	d, _ := open(t, `cache: {driver: memory}
plugins:
  - {name: direct, module: direct.wasm, `+grant+`}
  - {name: redirect, module: redirect.wasm, `+grant+`}
  - {name: other, module: other.wasm, `+grant+`}
  - {name: short, module: other.wasm, capabilities: [{http: {hosts: ['`+private1+`']}}]}
  - {name: tls, module: tls.wasm, capabilities: [{http: {hosts: ['`+private1+`']}}]}
`, map[string]string{
		"direct.wasm": asker("GET", public.URL+"/direct"), "redirect.wasm": asker("GET", public.URL+"/redirect"),
		"other.wasm": asker("GET", private.URL), "tls.wasm": asker("GET", "https://"+private1),
	})
	for name, want := range map[string]string{
		"direct": "answer to /direct", "redirect": "answer to /redirect", // a redirect is an answer
		"other": "refused", "short": "refused", "tls": "refused",
	} {
		c := &host.Call{Request: &host.Request{Method: "GET", Path: "/", RawPath: "/"}}
		o, err := d.current.plugins[name].Version.Host().Authorizer.Authorize(t.Context(), c)
		if err != nil || o.Effect != host.Deny || o.Reason != want {
			t.Errorf("%s: %+v, %v, want %q", name, o, err, want)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("the private server was reached %d times", n)
	}
}

// The grant is what the module's import is judged by.
func TestFetchNeedsItsGrant(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	write(t, dir+"/a.wasm", asker("GET", "https://a.example"))
	write(t, dir+"/authhost.yaml", "cache: {driver: memory}\nplugins:\n  - {name: a, module: a.wasm}\n")
	_, err := Open(t.Context(), Options{ConfigFile: dir + "/authhost.yaml"})
	if err == nil || !strings.Contains(err.Error(), "import authhost.fetch needs the capability http, which the plugin is not granted") {
		t.Error(err)
	}
}

// Who only explains has nothing changed elsewhere.
func TestExplainSendsWhatChangesNothing(t *testing.T) {
	var methods []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		methods = append(methods, r.Method)
		fmt.Fprint(w, "answered")
	}))
	defer server.Close()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	grant := "capabilities: [{http: {hosts: ['" + strings.TrimPrefix(server.URL, "http://") + "'], private: true}}]"
	write(t, dir+"/get.wasm", asker("GET", server.URL))
	write(t, dir+"/post.wasm", asker("POST", server.URL))
	write(t, dir+"/authhost.yaml", "cache: {driver: memory}\nplugins:\n  - {name: get, module: get.wasm, "+grant+"}\n  - {name: post, module: post.wasm, "+grant+"}\n")
	d, err := openTo(t.Context(), Options{ConfigFile: dir + "/authhost.yaml"}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(t.Context())
	for name, want := range map[string]string{"get": "answered", "post": "refused"} {
		c := &host.Call{Request: &host.Request{Method: "GET", Path: "/", RawPath: "/"}}
		if o, err := d.current.plugins[name].Version.Host().Authorizer.Authorize(t.Context(), c); err != nil || o.Reason != want {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	if !slices.Equal(methods, []string{"GET"}) {
		t.Errorf("sent %v", methods)
	}
}

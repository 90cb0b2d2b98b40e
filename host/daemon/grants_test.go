package daemon_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host/daemon"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// revealing is a plugin that refuses every request and every login,
// with the value of Authorization as its reason, or "denied" where it sees none.
func revealing() []byte {
	const buffer, data, room = 1024, 40 << 10, 2048
	name := "Authorization"
	body := Join(
		Const32(int32(abi.GetHeader)), Const32(data), Const32(int32(len(name))), Const32(0), Const32(buffer+8), Const32(room), Call(0), Op(0x22, 1),
		Const32(0), Op(0x48, 0x04, 0x40), Const64(int64(abi.CodeNo)), Op(Return, 0x0b), // i32.lt_s, if
		Const32(buffer), Const32(int32(abi.AnswerReason)), Op(0x36, 2, 0), Const32(buffer+4), Local(1), Op(0x36, 2, 0), // i32.store
		Local(1), Const32(8), Op(I32Add, ExtendU), Const64(32), Op(I64Shl), Const64(int64(abi.CodeNo)), Op(I64Or))
	hook := func(h abi.Hook) Func {
		return Func{Export: h.String(), Params: []byte{I32}, Results: []byte{I64}, Locals: []byte{I32}, Body: body}
	}
	return Module{MinPages: 1, Data: map[uint32]string{data: name},
		Imports: []Import{{Module: "authhost", Name: "get", Params: []byte{I32, I32, I32, I32, I32, I32}, Results: []byte{I32}}},
		Funcs: []Func{
			{Export: abi.Marker},
			{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(buffer<<32 | 32<<10)},
			hook(abi.OnAuthorize), hook(abi.OnLogin),
		}}.Encode()
}

// signed returns a key set and a JWT by it.
func signed(t *testing.T) (keys []byte, token string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if keys, err = json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}}); err != nil {
		t.Fatal(err)
	}
	unsigned := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": "idp", "aud": "a", "sub": "ada", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	unsigned.Header["kid"] = "k"
	if token, err = unsigned.SignedString(key); err != nil {
		t.Fatal(err)
	}
	return keys, token
}

// A plugin sees the credential of a request, and of a login, if its entry of the
// configuration grants credentials, and else nothing of it.
func TestCredentialsNeedTheirGrant(t *testing.T) {
	keys, token := signed(t)
	for capabilities, want := range map[string]string{"": "denied", ", capabilities: [credentials]": "Bearer " + token} {
		file := write(t, nowhere+`
realms: [{name: main, issuers: [{issuer: idp, audiences: [a], algorithms: [RS256], jwks_file: jwks.json}], plugins: [p]}]
plugins: [{name: p, module: p.wasm`+capabilities+`}]
routes: [{path: /**, plugins: [p]}]
`)
		for name, content := range map[string][]byte{"jwks.json": keys, "p.wasm": revealing()} {
			if err := os.WriteFile(filepath.Join(filepath.Dir(file), name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r := run(t, daemon.Options{ConfigFile: file})
		for path, method := range map[string]string{"/authz/forward-auth": "GET", "/v1/login": "POST"} {
			req, err := http.NewRequest(method, "http://"+r.addr["public"]+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			if method == "GET" {
				for name, value := range map[string]string{"Method": "GET", "Proto": "https", "Host": "console.example", "Uri": "/x"} {
					req.Header.Set("X-Forwarded-"+name, value)
				}
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			var got struct{ Reason, Plugin string }
			err = json.NewDecoder(resp.Body).Decode(&got)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusForbidden || got.Plugin != "p" || got.Reason != want {
				t.Errorf("%s with %q: %s, %+v, %v; want %q", path, capabilities, resp.Status, got, err, want)
			}
		}
		r.end(t)
	}
}

package admin_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/admin"
)

var token = strings.Repeat("k", 32)

func TestParseOperators(t *testing.T) {
	o, err := admin.ParseOperators([]byte("# who\n\nann  " + token + "\nben\t" + strings.Repeat("b", 40) + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if name, ok := o.Name(token); !ok || name != "ann" {
		t.Errorf("ann's token names %q", name)
	}
	if name, ok := o.Name(strings.Repeat("b", 40)); !ok || name != "ben" {
		t.Errorf("ben's token names %q", name)
	}
	for _, wrong := range []string{"", "ann", token + "k", token[1:], strings.ToUpper(token)} {
		if name, ok := o.Name(wrong); ok {
			t.Errorf("%q names %q", wrong, name)
		}
	}
	for content, want := range map[string]string{
		"":                          "no operator",
		"ann":                       "line 1: want a name and a token",
		"\nann " + token[1:]:        "line 2: the token of ann is shorter",
		"ann " + token + " surplus": "line 1: want a name",
	} {
		_, err := admin.ParseOperators([]byte(content))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "kkk") {
			t.Errorf("%q: %v", content, err)
		}
	}
	if _, ok := (admin.Operators{}).Name(""); ok {
		t.Error("the zero value knows somebody")
	}
}

func TestOnlyTheOperatorReloads(t *testing.T) {
	operators, err := admin.ParseOperators([]byte("ann " + token))
	if err != nil {
		t.Fatal(err)
	}
	reloads, problem := 0, error(nil)
	h := admin.New(admin.Options{
		Operators: func() admin.Operators { return operators },
		Reload:    func(context.Context) error { reloads++; return problem },
		Fail: func(w http.ResponseWriter, err error) {
			kind, text := host.Explain(err)
			http.Error(w, kind.String()+" "+text, 499)
		},
		Log: slog.New(slog.DiscardHandler),
	})
	ask := func(method, path string, auth ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		r.Header["Authorization"] = auth
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, auth := range [][]string{nil, {""}, {"Bearer"}, {"Bearer "}, {"Basic " + token}, {"Bearer " + token[1:]}, {token}, {"Bearer " + token, "Bearer " + token}} {
		for _, path := range []string{"/v1/config/reload", "/v1/elsewhere"} {
			if w := ask("POST", path, auth...); !strings.HasPrefix(w.Body.String(), "unauthenticated") {
				t.Errorf("%q %s: %s", auth, path, w.Body)
			}
		}
	}
	if reloads != 0 {
		t.Fatalf("%d reloads for strangers", reloads)
	}
	if w := ask("POST", "/v1/config/reload", "bearer "+token); w.Code != http.StatusNoContent || reloads != 1 {
		t.Errorf("operator: %d, %d reloads", w.Code, reloads)
	}
	problem = errors.New("authhost.yaml:3: listen: restart needed")
	if w := ask("POST", "/v1/config/reload", "Bearer "+token); !strings.HasPrefix(w.Body.String(), "refused authhost.yaml:3") {
		t.Errorf("refused: %s", w.Body)
	}
	if w := ask("GET", "/v1/elsewhere", "Bearer "+token); !strings.HasPrefix(w.Body.String(), "not_found") {
		t.Errorf("elsewhere: %s", w.Body)
	}
}

package admin_test

import (
	"strings"
	"testing"

	"github.com/authhost/authhost/host/admin"
)

func TestParseOperators(t *testing.T) {
	token := strings.Repeat("k", 32)
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

package host_test

import (
	"strings"
	"testing"

	"github.com/authhost/authhost/host"
)

func TestUserID(t *testing.T) {
	id := host.UserID("main", "https://idp.example", "alice")
	if len(id) != 4+32 || !strings.HasPrefix(id, "usr_") || id != strings.ToLower(id) {
		t.Errorf("form: %s", id)
	}
	if id != "usr_"+id[4:] || id != host.UserID("main", "https://idp.example", "alice") {
		t.Error("not stable")
	}
	for _, other := range []string{
		host.UserID("main", "https://idp.example", "bob"),
		host.UserID("main", "https://idp.exampl", "ealice"),
		host.UserID("mai", "nhttps://idp.example", "alice"),
		host.UserID("other", "https://idp.example", "alice"),
	} {
		if other == id {
			t.Errorf("two users share %s", id)
		}
	}
	if host.UserID("main", "a", "b")[:4+8] != id[:4+8] {
		t.Error("users of one realm differ in its part")
	}
	for bad, realm := range map[string]string{
		id: "other", id[:len(id)-1]: "main", id + "a": "main", strings.ToUpper(id): "main", id[4:]: "main", "": "main", "usr_": "main", "ses_" + id[4:]: "main",
		id[:35] + "1": "main", id[:20] + "A" + id[21:]: "main", id[:35] + "\n": "main", id + "\n": "main", id[:35] + "=": "main",
	} {
		if host.IsUserIDOf(bad, realm) {
			t.Errorf("%q is taken for a user id of %s", bad, realm)
		}
	}
	if !host.IsUserIDOf(id, "main") {
		t.Error("not recognised")
	}
}

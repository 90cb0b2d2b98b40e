package signature_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authhost/authhost/host/plugin/signature"
)

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// public returns the key in a .pub file.
func public(t *testing.T, file []byte) signature.Key {
	t.Helper()
	k, err := signature.ParseKey(signature.PublicText(file))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Keys that minisign made, and our own, sign what is then accepted.
func TestSign(t *testing.T) {
	type pair struct {
		public, secret []byte
		password       string
	}
	pairs := map[string]pair{
		"minisign's without a password": {testdata(t, "plain.pub"), testdata(t, "plain.key"), ""},
		"a password that is not needed": {testdata(t, "plain.pub"), testdata(t, "plain.key"), "hush"},
	}
	pub, secret, err := signature.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	pairs["ours"] = pair{pub, secret, ""}
	for name, p := range pairs {
		key, err := signature.ParseSecretKey(p.secret, p.password)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		file, err := key.Sign([]byte("module"), "1.2.3-rc.1+b")
		if err != nil {
			t.Fatal(err)
		}
		if v, err := signature.Check([]signature.Key{public(t, p.public)}, []byte("module"), file); v != "1.2.3-rc.1+b" || err != nil {
			t.Errorf("%s: %q, %v", name, v, err)
		}
		if id, v, err := signature.Read(file); id != key.ID() || v != "1.2.3-rc.1+b" || err != nil {
			t.Errorf("%s: read %s %s %v", name, id, v, err)
		}
		if again, err := key.Sign([]byte("module"), "1.2.3-rc.1+b"); err != nil || !bytes.Equal(file, again) {
			t.Errorf("%s: another signature the second time, %v", name, err)
		}
	}
}

// To try a password takes seconds and a gigabyte: e2e does.
func TestWithoutPassword(t *testing.T) {
	if _, err := signature.ParseSecretKey(testdata(t, "locked.key"), ""); !errors.Is(err, signature.ErrPassword) {
		t.Error(err)
	}
}

func TestSignRefuses(t *testing.T) {
	for _, file := range []string{"", "nonsense", string(testdata(t, "plain.pub"))} {
		if _, err := signature.ParseSecretKey([]byte(file), ""); err == nil || !strings.Contains(err.Error(), "not a minisign secret key") {
			t.Errorf("%.20q: %v", file, err)
		}
	}
	key, err := signature.ParseSecretKey(testdata(t, "plain.key"), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"", "1.2", "v1.2.3", "1.2.3 file:x", "1.2.3 version:1.2.4", "1.2.3\nx"} {
		if _, err := key.Sign([]byte("module"), version); err == nil || !strings.Contains(err.Error(), "semantic version") {
			t.Errorf("version %q: %v", version, err)
		}
	}
	if _, _, err := signature.Read([]byte("nonsense")); err == nil {
		t.Error("nonsense is read as a signature")
	}
}

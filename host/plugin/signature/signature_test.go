package signature_test

import (
	"os"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/authhost/authhost/host/plugin/signature"
)

// signer is somebody with a key.
type signer struct {
	private minisign.PrivateKey
	text    string // the public key
}

func newSigner(t testing.TB, seed byte) signer {
	t.Helper()
	public, private, err := minisign.GenerateKey(strings.NewReader(strings.Repeat(string(seed), 64)))
	if err != nil {
		t.Fatal(err)
	}
	return signer{private, public.String()}
}

func (s signer) key(t testing.TB) signature.Key {
	t.Helper()
	k, err := signature.ParseKey(s.text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (s signer) sign(module, comment string) []byte {
	return minisign.SignWithComments(s.private, []byte(module), comment, "untrusted")
}

func (s signer) signHashed(t testing.TB, module, comment string) []byte {
	t.Helper()
	r := minisign.NewReader(strings.NewReader(module))
	if _, err := r.Read(make([]byte, len(module))); err != nil {
		t.Fatal(err)
	}
	return r.SignWithComments(s.private, comment, "untrusted")
}

func TestCheck(t *testing.T) {
	ann, ben := newSigner(t, 'a'), newSigner(t, 'b')
	good := string(ann.sign("module", "version:1.2.3"))
	for _, c := range []struct {
		name, module, file, version, problem string
	}{
		{"signed", "module", good, "1.2.3", ""},
		{"signed by the other", "module", string(ben.sign("module", "version:1.2.3")), "1.2.3", ""},
		{"hashed before it was signed", "module", string(ann.signHashed(t, "module", "timestamp:1 version:1.0.0-rc.1+build.5 file:m.wasm")), "1.0.0-rc.1+build.5", ""},
		{"words around it", "module", string(ann.sign("module", "released\tversion:0.0.1  by ann")), "0.0.1", ""},
		{"Windows' line ends", "module", strings.ReplaceAll(good, "\n", "\r\n"), "1.2.3", ""},
		{"another untrusted comment", "module", strings.Replace(good, "untrusted\n", "whatever version:9.9.9\n", 1), "1.2.3", ""},

		{"tampered module", "modulo", good, "", "not one of this module"},
		{"tampered comment", "module", strings.Replace(good, "version:1.2.3", "version:1.2.4", 1), "", "not one of this module"},
		{"a stranger's", "module", string(newSigner(t, 'c').sign("module", "version:1.2.3")), "", "none of the public keys"},
		{"empty", "module", "", "", "not one of minisign's"},
		{"something else", "module", "-----BEGIN PGP SIGNATURE-----\n\n\n\n", "", "not one of minisign's"},
		{"cut", "module", good[:len(good)-20], "", "not one of minisign's"},
		{"huge", "module", good + strings.Repeat(" ", signature.MaxSize), "", "are allowed"},
		{"no version", "module", string(ann.sign("module", "timestamp:1")), "", "has no version"},
		{"two versions", "module", string(ann.sign("module", "version:1.2.3 version:1.2.3")), "", "two versions"},
		{"not a version", "module", string(ann.sign("module", "version:1.2")), "", "not a semantic version"},
		{"a tag", "module", string(ann.sign("module", "version:v1.2.3")), "", "not a semantic version"},
		{"leading zero", "module", string(ann.sign("module", "version:1.02.3")), "", "not a semantic version"},
		{"without end", "module", string(ann.sign("module", "version:1.2.3-"+strings.Repeat("a", 200))), "", "not a semantic version"},
	} {
		version, err := signature.Check([]signature.Key{ann.key(t), ben.key(t)}, []byte(c.module), []byte(c.file))
		if version != c.version || (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: %q, %v", c.name, version, err)
		}
	}
	if _, err := signature.Check(nil, []byte("module"), []byte(good)); err == nil {
		t.Error("without any key it is signed")
	}
	if _, err := signature.Check([]signature.Key{{}}, []byte("module"), []byte(good)); err == nil {
		t.Error("the zero key verifies")
	}
}

// What the minisign program writes, and its key.
func TestMinisignProgram(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		content, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	lines := strings.Split(read("minisign.pub"), "\n")
	key, err := signature.ParseKey(lines[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"module.minisig", "module.legacy.minisig"} {
		version, err := signature.Check([]signature.Key{key}, []byte(read("module")), []byte(read(file)))
		if version != "1.2.3" || err != nil {
			t.Errorf("%s: %q, %v", file, version, err)
		}
	}
}

func TestParseKey(t *testing.T) {
	good := newSigner(t, 'a').text
	if len(good) != 56 || !strings.HasPrefix(good, "RW") {
		t.Fatal(good)
	}
	for name, text := range map[string]string{
		"empty": "", "cut": good[:55], "longer": good + "A", "a whole .pub file": "untrusted comment: x\n" + good,
		"a line end": good + "\n", "inside it": good[:20] + "\n" + good[20:], "another algorithm": "QQ" + good[2:], "not base64": "RW" + strings.Repeat("!", 54),
	} {
		if _, err := signature.ParseKey(text); err == nil {
			t.Errorf("%s: %q is a key", name, text)
		}
	}
	if keys, err := signature.ParseKeys([]string{good, "x"}); err == nil || keys != nil || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("one of two: %v, %v", keys, err)
	}
}

func TestOlder(t *testing.T) {
	// In order, each older than the next.
	versions := []string{"", "0.0.1", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-rc.9", "1.0.0-rc.10", "1.0.0", "1.9.0", "1.10.0", "2.0.0"}
	for i, a := range versions {
		for j, b := range versions {
			if got := signature.Older(a, b); got != (i < j) {
				t.Errorf("%q older than %q: %v", a, b, got)
			}
		}
	}
	if signature.Older("1.0.0+1", "1.0.0+2") || signature.Older("1.0.0+2", "1.0.0+1") {
		t.Error("a build counts")
	}
}

// FuzzCheck sees to it that nothing but what was signed passes, as the version
// that it was signed as.
func FuzzCheck(f *testing.F) {
	ann := newSigner(f, 'a')
	key := ann.key(f)
	for _, comment := range []string{"version:1.2.3", "a version:0.0.1-x b", "version:", "version:1.2.3 version:1.2.3"} {
		f.Add([]byte("module"), ann.sign("module", comment))
		f.Add([]byte("module"), ann.signHashed(f, "module", comment))
	}
	f.Add([]byte("module"), []byte("untrusted comment: \n\ntrusted comment: \n"))
	f.Fuzz(func(t *testing.T, module, file []byte) {
		version, err := signature.Check([]signature.Key{key}, module, file)
		switch {
		case err != nil && version != "":
			t.Errorf("%q and %v", version, err)
		case err == nil && (string(module) != "module" || version != "1.2.3" && version != "0.0.1-x"):
			t.Errorf("%q passes as %s", module, version)
		}
	})
}

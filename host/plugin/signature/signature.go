// Package signature judges who signed a module, and which version it is said
// to be: minisign's signature files, whose trusted comment holds the words
// that the signer vouches for. It signs modules in the same way.
//
// It owns keys, signatures and versions. It reads no file, and does not know
// what runs: whether a version is older than another it says, what follows
// from that is said elsewhere.
package signature

import (
	"errors"
	"fmt"
	"strings"

	"aead.dev/minisign"
	"golang.org/x/mod/semver"
)

// Suffix is what the name of a module's signature file has more than the
// module's.
const Suffix = ".minisig"

// MaxSize bounds a signature file, in bytes.
const MaxSize = 16 << 10

const (
	versionWord = "version:"
	maxVersion  = 128 // bytes
)

// Key is a public key. Make one with [ParseKey]; the zero Key verifies nothing.
type Key struct{ key minisign.PublicKey }

// ParseKey reads a key as minisign prints it: the second line of its .pub file.
func ParseKey(text string) (Key, error) {
	var k Key
	if err := k.key.UnmarshalText([]byte(text)); err != nil || k.key.String() != text {
		return Key{}, errors.New("is not a minisign public key: 56 characters that begin with RW, the second line of a .pub file")
	}
	return k, nil
}

// ParseKeys reads several keys.
func ParseKeys(texts []string) ([]Key, error) {
	var keys []Key
	for _, text := range texts {
		k, err := ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("public key %q %w", text, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Check returns the version by which one of keys signed the module: what
// follows version: in the trusted comment. file is the signature file's
// content.
func Check(keys []Key, module, file []byte) (version string, err error) {
	s, err := parse(file)
	if err != nil {
		return "", err
	}
	known := false
	for _, k := range keys {
		if k.key.ID() != s.KeyID {
			continue
		}
		if known = true; minisign.Verify(k.key, module, file) {
			return versionOf(s.TrustedComment)
		}
	}
	if !known {
		return "", fmt.Errorf("signed by key %016X, which is none of the public keys", s.KeyID)
	}
	return "", fmt.Errorf("the signature of key %016X is not one of this module, or its trusted comment was changed", s.KeyID)
}

// versionOf finds the one version among the words of a trusted comment.
func versionOf(comment string) (version string, err error) {
	for word := range strings.FieldsSeq(comment) {
		text, ok := strings.CutPrefix(word, versionWord)
		if !ok {
			continue
		}
		if version != "" {
			return "", errors.New("the trusted comment names two versions")
		}
		v := "v" + text
		if len(text) > maxVersion || !semver.IsValid(v) || semver.Canonical(v)+semver.Build(v) != v {
			return "", fmt.Errorf("%.150q in the trusted comment is not a semantic version such as version:1.2.3", word)
		}
		version = text
	}
	if version == "" {
		return "", errors.New("the trusted comment has no version, such as version:1.2.3")
	}
	return version, nil
}

// Older says whether version a comes before version b (semver.org, section 11).
// What is no version comes before all that are.
func Older(a, b string) bool { return semver.Compare("v"+a, "v"+b) < 0 }

package signature

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"aead.dev/minisign"
)

// ErrPassword is that a secret key cannot be read without its password, or
// with another.
var ErrPassword = errors.New("the secret key is encrypted, and this is not its password")

// SecretKey signs modules. Make one with [NewKey] or [ParseSecretKey].
type SecretKey struct{ key minisign.PrivateKey }

// NewKey makes a key pair, in the form of minisign's files; a password encrypts
// the secret one.
func NewKey(password string) (public, secret []byte, err error) {
	pub, key, err := minisign.GenerateKey(nil)
	if err != nil {
		return nil, nil, err
	}
	if public, err = pub.MarshalText(); err != nil {
		return nil, nil, err
	}
	if password == "" {
		secret, err = key.MarshalText()
	} else {
		secret, err = minisign.EncryptKey(password, key)
	}
	return append(public, '\n'), append(secret, '\n'), err
}

// PublicText returns the key in a .pub file as [ParseKey] reads it: the second
// line.
func PublicText(file []byte) string {
	_, text, _ := strings.Cut(strings.TrimSpace(string(file)), "\n")
	return strings.TrimSpace(text)
}

// ParseSecretKey reads a file of minisign's secret key; the password counts
// only where it is encrypted.
func ParseSecretKey(file []byte, password string) (SecretKey, error) {
	var k SecretKey
	var err error
	file = bytes.TrimSpace(file)
	if minisign.IsEncrypted(file) {
		if password == "" { // a key has one; to try it takes seconds and a gigabyte
			return SecretKey{}, ErrPassword
		}
		if k.key, err = minisign.DecryptKey(password, file); err != nil {
			return SecretKey{}, ErrPassword
		}
		return k, nil
	}
	if err = k.key.UnmarshalText(file); err != nil {
		return SecretKey{}, errors.New("is not a minisign secret key")
	}
	return k, nil
}

// Sign returns the signature file of a module that is said to be of that
// version. It is the same each time.
func (k SecretKey) Sign(module []byte, version string) ([]byte, error) {
	comment := versionWord + version
	if _, err := versionOf(comment); err != nil || strings.ContainsAny(version, " \t\r\n") {
		return nil, fmt.Errorf("%.150q is not a semantic version such as 1.2.3", version)
	}
	r := minisign.NewReader(bytes.NewReader(module))
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, err
	}
	return r.SignWithComments(k.key, comment, fmt.Sprintf("signature from key %016X", k.key.ID())), nil
}

// ID returns the key's id, as errors and signatures name it.
func (k SecretKey) ID() string { return fmt.Sprintf("%016X", k.key.ID()) }

// Read returns what a signature file says of itself, which is not proved by
// that: the key's id, and the version.
func Read(file []byte) (keyID, version string, err error) {
	s, err := parse(file)
	if err != nil {
		return "", "", err
	}
	version, err = versionOf(s.TrustedComment)
	return fmt.Sprintf("%016X", s.KeyID), version, err
}

func parse(file []byte) (s minisign.Signature, err error) {
	if len(file) > MaxSize {
		return s, fmt.Errorf("the signature has %d bytes, %d are allowed", len(file), MaxSize)
	}
	if err := s.UnmarshalText(file); err != nil {
		return s, errors.New("the signature is not one of minisign's")
	}
	return s, nil
}

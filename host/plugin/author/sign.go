package author

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/authhost/authhost/host/plugin/signature"
)

// Sign writes the signature of a module beside it and returns the file, the
// key's id and the version. Without a version it is one of the moment, older
// than every release.
func Sign(module, keyFile, password, version string, now time.Time) (file, keyID, signed string, err error) {
	content, err := os.ReadFile(module)
	if err != nil {
		return "", "", "", err
	}
	secret, err := os.ReadFile(keyFile)
	if err != nil {
		return "", "", "", err
	}
	key, err := signature.ParseSecretKey(secret, password)
	if err != nil {
		if errors.Is(err, signature.ErrPassword) && password == "" {
			err = errors.New("the secret key is encrypted: --password-file FILE")
		}
		return "", "", "", fmt.Errorf("%s: %w", keyFile, err)
	}
	if version == "" {
		version = "0.0.0-" + now.UTC().Format("20060102150405")
	}
	signatureFile, err := key.Sign(content, version)
	if err != nil {
		return "", "", "", err
	}
	file = module + signature.Suffix
	return file, key.ID(), version, replace(file, signatureFile)
}

// replace puts a file in its place in one step: a host may be watching.
func replace(path string, content []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, content, 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// NewKey makes a key pair, the secret key in file and the public one in
// file.pub, and returns the public key as the configuration has it. It
// overwrites nothing.
func NewKey(file, password string) (publicKey string, err error) {
	public, secret, err := signature.NewKey(password)
	if err != nil {
		return "", err
	}
	if err := create(file, secret, 0o600); err != nil {
		return "", err
	}
	if err := create(file+".pub", public, 0o644); err != nil {
		return "", errors.Join(err, os.Remove(file))
	}
	return signature.PublicText(public), nil
}

func create(file string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

package config

import (
	"bytes"
	"fmt"
	"io"
)

// maxSecret bounds a secret file, in bytes.
const maxSecret = 1 << 20

// ReadSecret returns what a secret file (any *_file key but jwks_file) holds,
// without one newline at its end. A file without content is an error. Errors
// name the file and never quote it.
func ReadSecret(path string) ([]byte, error) {
	secret, err := readFile(path, maxSecret)
	if err != nil {
		return nil, fmt.Errorf("secret file %s: %w", path, err)
	}
	if s, ok := bytes.CutSuffix(secret, []byte("\n")); ok {
		secret = bytes.TrimSuffix(s, []byte("\r"))
	}
	if len(bytes.TrimSpace(secret)) == 0 {
		return nil, fmt.Errorf("secret file %s: is empty", path)
	}
	return secret, nil
}

func readLimited(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", plainCause(err))
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("is larger than %d bytes", limit)
	}
	return b, nil
}

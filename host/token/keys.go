package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// The bounds of what is taken for a key: too short is no protection, too long
// a way to keep the verifier busy.
const (
	minRSABits     = 2048
	maxRSABits     = 8192
	minSecretBytes = 32
)

// key is one key that signatures are checked with. It is immutable, and the
// same pointer for as long as the set keeps holding the same key.
type key struct {
	id       string // empty: unnamed
	alg      string // the only algorithm it is for; empty: any that fits
	kind     kind
	material any // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or []byte
	print    [sha256.Size]byte
}

func newKey(id, alg string, k kind, material any, encoded []byte) *key {
	text := fmt.Appendf(nil, "%q %q %q ", id, alg, k)
	return &key{id: id, alg: alg, kind: k, material: material, print: sha256.Sum256(append(text, encoded...))}
}

// fits says whether the key may check signatures made with the algorithm.
func (k *key) fits(alg string) bool {
	return k.kind == algorithms[alg].kind && (k.alg == "" || k.alg == alg)
}

// find returns the key for an algorithm and kid, nil if there is none; known
// says whether any key has that kid. Without a kid it is the only key that
// fits. A secret has no name, and is the only one whatever the kid.
func find(keys []*key, alg, kid string) (found *key, known bool) {
	if kid == "" || len(keys) == 1 && keys[0].kind == kindSecret {
		for _, k := range keys {
			if !k.fits(alg) {
				continue
			}
			if found != nil {
				return nil, true
			}
			found = k
		}
		return found, true
	}
	for _, k := range keys {
		if k.id == kid {
			known = true
			if k.fits(alg) {
				return k, true
			}
		}
	}
	return nil, known
}

// parseSecret reads a shared secret: all of the file but one trailing newline.
func parseSecret(data []byte) (keys []*key, skipped int, err error) {
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(data) < minSecretBytes {
		return nil, 0, fmt.Errorf("the secret has %d bytes, at least %d are needed", len(data), minSecretBytes)
	}
	return []*key{newKey("", "", kindSecret, data, data)}, 0, nil
}

// parseSet reads a JWK Set (RFC 7517, 5). Keys that are not for checking
// signatures, or not to be trusted with it, are skipped and counted.
func parseSet(data []byte) (keys []*key, skipped int, err error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, 0, fmt.Errorf("not a JWK Set: %w", err)
	}
	if set.Keys == nil {
		return nil, 0, errors.New(`not a JWK Set: it has no "keys"`)
	}
	for _, raw := range *set.Keys {
		if k, ok := parseKey(raw); ok {
			keys = append(keys, k)
		} else {
			skipped++
		}
	}
	return keys, skipped, nil
}

// parseKey reads one JWK: a public key that may verify signatures.
func parseKey(raw []byte) (*key, bool) {
	var meta struct {
		Use    *string   `json:"use"`
		KeyOps *[]string `json:"key_ops"`
	}
	if json.Unmarshal(raw, &meta) != nil ||
		meta.Use != nil && *meta.Use != "sig" ||
		meta.KeyOps != nil && !slices.Contains(*meta.KeyOps, "verify") {
		return nil, false
	}
	var jwk jose.JSONWebKey
	if jwk.UnmarshalJSON(raw) != nil {
		return nil, false
	}
	k := kindOf(jwk.Key)
	if k == "" {
		return nil, false
	}
	der, err := x509.MarshalPKIXPublicKey(jwk.Key)
	if err != nil {
		return nil, false
	}
	return newKey(jwk.KeyID, jwk.Algorithm, k, jwk.Key, der), true
}

// kindOf returns the kind of a public key, empty for one that is not used. A
// private or symmetric key in a published set is everybody's: it proves nothing.
func kindOf(material any) kind {
	switch m := material.(type) {
	case *rsa.PublicKey:
		if bits := m.N.BitLen(); bits >= minRSABits && bits <= maxRSABits {
			return kindRSA
		}
	case *ecdsa.PublicKey:
		switch k := kind(m.Curve.Params().Name); k {
		case kindP256, kindP384, kindP521:
			return k
		}
	case ed25519.PublicKey:
		return kindEd25519
	}
	return ""
}

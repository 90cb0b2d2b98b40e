package token

import "github.com/golang-jwt/jwt/v5"

// kind is the type of a key, and with elliptic curves the curve: what must be
// the same of a key and of the algorithm it is used with (RFC 8725, 3.1).
type kind string

const (
	kindRSA     kind = "RSA"
	kindP256    kind = "P-256"
	kindP384    kind = "P-384"
	kindP521    kind = "P-521"
	kindEd25519 kind = "Ed25519"
	kindSecret  kind = "secret"
)

// algorithm is how a token may be signed (RFC 7518, 3.1; RFC 8037, 3.1).
type algorithm struct {
	method jwt.SigningMethod
	kind   kind
}

var algorithms = map[string]algorithm{
	"RS256": {jwt.SigningMethodRS256, kindRSA},
	"RS384": {jwt.SigningMethodRS384, kindRSA},
	"RS512": {jwt.SigningMethodRS512, kindRSA},
	"PS256": {jwt.SigningMethodPS256, kindRSA},
	"PS384": {jwt.SigningMethodPS384, kindRSA},
	"PS512": {jwt.SigningMethodPS512, kindRSA},
	"ES256": {jwt.SigningMethodES256, kindP256},
	"ES384": {jwt.SigningMethodES384, kindP384},
	"ES512": {jwt.SigningMethodES512, kindP521},
	"EdDSA": {jwt.SigningMethodEdDSA, kindEd25519},
	"HS256": {jwt.SigningMethodHS256, kindSecret},
	"HS384": {jwt.SigningMethodHS384, kindSecret},
	"HS512": {jwt.SigningMethodHS512, kindSecret},
}

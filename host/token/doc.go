// Package token judges JSON Web Tokens (RFC 7519, signed as RFC 7515 says) for
// one realm: it turns one token into a verdict and an identity, and keeps the
// key sets that it needs for that.
//
// It owns the form of a JWT, the choice of issuer, algorithm and key, the
// signature, the claims, the key sets (from a URL, a file or a shared secret)
// with their refreshing, and the bounded memory of tokens that were already
// verified. It does not find credentials, asks no cache whether a token was
// revoked, and knows no session: those are other rooms' work.
//
// # Verdicts
//
// Validate judges in this order, and the first that applies is the verdict:
//
//   - malformed: not of the form, a header that is no JSON object with an
//     "alg", any "crit" (no extension is understood), no "iss";
//   - wrong_issuer: an "iss" that the realm does not know;
//   - bad_signature: an algorithm outside the issuer's list, no such key, or a
//     signature that does not verify;
//   - malformed: claims missing or of the wrong type, or a token made for
//     longer than max_token_life;
//   - expired, not_yet_valid, wrong_audience.
//
// With a good signature and any verdict but malformed, the Validation names
// whom the token names; a logout may therefore end an expired token by the
// Identity that Validate returns with it. With a bad signature it names nobody.
//
// When the keys cannot be known there is no verdict but an error of kind
// host.Unavailable: the set was never loaded, is older than jwks_max_age, or
// lacks the token's key while it cannot be refreshed.
package token

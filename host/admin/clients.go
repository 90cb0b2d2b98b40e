package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
)

// Client is one that may ask about the tokens of one realm.
type Client struct {
	ID     string
	Secret []byte
	Realm  string
}

// Clients knows the introspection clients by the hashes of their secrets. The
// zero value knows none. It is immutable and safe for concurrent use.
type Clients struct{ list []knownClient }

type knownClient struct {
	Client     // without its secret
	id, secret [sha256.Size]byte
}

// NewClients returns clients to be known. An id without a secret or a realm, or
// given twice, is an error that tells no secret.
func NewClients(list []Client) (Clients, error) {
	var c Clients
	for i, in := range list {
		if in.ID == "" || len(in.Secret) == 0 || in.Realm == "" {
			return Clients{}, fmt.Errorf("client %d: an id, a secret and a realm are needed", i)
		}
		known := knownClient{Client{ID: in.ID, Realm: in.Realm}, sha256.Sum256([]byte(in.ID)), sha256.Sum256(in.Secret)}
		for _, other := range c.list {
			if other.id == known.id {
				return Clients{}, fmt.Errorf("client %d: %s is there already", i, in.ID)
			}
		}
		c.list = append(c.list, known)
	}
	return c, nil
}

// presented returns the client that presents itself by HTTP Basic (RFC 7617),
// in one Authorization header; nil if none of them does. Id and secret may be
// form-encoded, as RFC 6749, section 2.3.1, wants them and few clients send
// them.
func (c Clients) presented(h http.Header) *Client {
	if len(h["Authorization"]) != 1 {
		return nil
	}
	id, secret, ok := (&http.Request{Header: h}).BasicAuth()
	if !ok {
		return nil
	}
	if known := c.find(id, secret); known != nil {
		return known
	}
	plainID, err := url.QueryUnescape(id)
	plainSecret, err2 := url.QueryUnescape(secret)
	if err != nil || err2 != nil {
		return nil
	}
	return c.find(plainID, plainSecret)
}

// find compares with every client, in constant time.
func (c Clients) find(id, secret string) (found *Client) {
	i, s := sha256.Sum256([]byte(id)), sha256.Sum256([]byte(secret))
	for k := range c.list {
		known := &c.list[k]
		if subtle.ConstantTimeCompare(known.id[:], i[:])&subtle.ConstantTimeCompare(known.secret[:], s[:]) == 1 {
			found = &known.Client
		}
	}
	return found
}

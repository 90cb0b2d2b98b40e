package plugin

import (
	"encoding/json"
	"math"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
)

// maxName bounds, in bytes, the name of what get is asked for.
const maxName = 1024

// Units charged for a byte that is looked through, and for one of a claim,
// which may have been written as JSON. A client chooses how many there are.
const (
	scanCost   = 16
	encodeCost = 64
)

// lookup finds what get was asked for. What is not there and what a plugin
// may not see look the same.
func (i *instance) lookup(kind abi.Kind, name string, index uint32) ([]byte, bool) {
	if kind == abi.GetField {
		if index > math.MaxUint16 {
			return nil, false
		}
		return i.frameField(abi.Field(index))
	}
	c := i.call
	if c == nil || c.Request == nil || len(name) > maxName {
		return nil, false
	}
	var s string
	var ok bool
	shown := i.plugin.opts.Credentials
	switch kind {
	case abi.GetHeader:
		if ok = shown || !c.Hides(host.FromHeader, name); ok {
			s, ok = header(c, name, index)
		}
	case abi.GetCookie:
		for _, line := range c.Request.Header["Cookie"] {
			i.tank.charge(scanCost * len(line))
		}
		if ok = shown || !c.Hides(host.FromCookie, name); ok {
			s, ok = cookie(c, name, index)
		}
	case abi.GetQuery:
		raw := c.Query
		if shown {
			raw = c.Request.RawQuery
		}
		i.tank.charge(scanCost * len(raw))
		if ok = shown || !c.Hides(host.FromQuery, name); ok {
			s, ok = query(raw, name, index)
		}
	case abi.GetClaim:
		if c.Identity == nil || index > 0 {
			return nil, false
		}
		v, ok := claim(c.Identity.Claims, name)
		i.tank.charge(encodeCost * len(v))
		return v, ok
	}
	if !ok || !shown && c.Secret(s) {
		return nil, false
	}
	i.scratch = append(i.scratch[:0], s...)
	return i.scratch, true
}

func header(c *host.Call, name string, index uint32) (string, bool) {
	values := c.Request.Header[textproto.CanonicalMIMEHeaderKey(name)]
	if uint64(index) >= uint64(len(values)) {
		return "", false
	}
	return values[index], true
}

// cookie reads the Cookie headers as RFC 6265, section 4.2.1, writes them;
// quotes around a value are part of it.
func cookie(c *host.Call, name string, index uint32) (string, bool) {
	for _, line := range c.Request.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			key, value, _ := strings.Cut(pair, "=")
			if strings.TrimSpace(key) != name {
				continue
			}
			if index == 0 {
				return strings.TrimSpace(value), true
			}
			index--
		}
	}
	return "", false
}

// query reads a parameter of a query. A pair with a broken escape is passed
// over.
func query(raw, name string, index uint32) (string, bool) {
	for pair := range strings.SplitSeq(raw, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if pair == "" {
			continue
		}
		if k, err := url.QueryUnescape(key); err != nil || k != name {
			continue
		}
		v, err := url.QueryUnescape(value)
		if err != nil {
			continue
		}
		if index == 0 {
			return v, true
		}
		index--
	}
	return "", false
}

// claim returns a claim by name or by JSON Pointer (RFC 6901): a string as it
// is, anything else as JSON.
func claim(claims map[string]any, name string) ([]byte, bool) {
	var found any = claims
	if pointer, ok := strings.CutPrefix(name, "/"); ok {
		for token := range strings.SplitSeq(pointer, "/") {
			if found, ok = step(found, unescape.Replace(token)); !ok {
				return nil, false
			}
		}
	} else if found, ok = claims[name]; !ok {
		return nil, false
	}
	if s, ok := found.(string); ok {
		return []byte(s), true
	}
	b, err := json.Marshal(found)
	return b, err == nil
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// step follows one reference token of a JSON Pointer.
func step(in any, token string) (any, bool) {
	switch in := in.(type) {
	case map[string]any:
		v, ok := in[token]
		return v, ok
	case []any:
		n, err := strconv.ParseUint(token, 10, 31)
		if err != nil || n >= uint64(len(in)) || strconv.FormatUint(n, 10) != token {
			return nil, false
		}
		return in[n], true
	}
	return nil, false
}

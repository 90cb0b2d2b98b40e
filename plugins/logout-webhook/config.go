package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/authhost/authhost/plugins/internal/strict"
)

const (
	minSecret = 32   // bytes
	maxURL    = 2048 // bytes, as section 5 of the ABI has it
	maxName   = 128  // bytes of a header's name, likewise

	// What an answer has room for, which is 16 KiB, beside the two headers of
	// this plugin and the longest notice.
	maxHeaders = 30
	maxBytes   = 4096 // of names and values in all
)

var (
	// own are the headers that this plugin or the host sets itself.
	own = []string{"Content-Type", signatureHeader, "Idempotency-Key"}

	// never are those that the host refuses to send for any plugin.
	never = []string{
		"Accept-Encoding", "Connection", "Content-Length", "Cookie", "Expect", "Host", "Http2-Settings", "Keep-Alive",
		"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	}
)

// parseConfig makes a webhook of the plugin's configuration. What it does not
// understand it refuses, and what could not be sent: at the first logout it
// would be too late. Of a URL, a secret and a header's value it repeats nothing.
func parseConfig(data []byte) (*webhook, error) {
	var secret *string
	var headers map[string]string
	w := &webhook{}
	err := strict.Object(data, map[string]any{"url": &w.url, "headers": &headers, "secret": &secret})
	if err != nil {
		return nil, err
	}
	if err := checkURL(w.url); err != nil {
		return nil, err
	}
	if w.headers, err = readHeaders(headers); err != nil {
		return nil, err
	}
	if secret != nil {
		if len(*secret) < minSecret {
			return nil, fmt.Errorf("secret is shorter than %d bytes: openssl rand -hex 32 makes a good one", minSecret)
		}
		w.secret = []byte(*secret)
	}
	return w, nil
}

func checkURL(url string) error {
	_, rest, _ := strings.Cut(url, "://")
	host := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host = rest[:i]
	}
	switch {
	case !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://"):
		return errors.New("url is missing, or does not begin with https:// (or http://, where the capability says private)")
	case len(url) > maxURL:
		return fmt.Errorf("url is longer than %d bytes", maxURL)
	case strings.ContainsFunc(url, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' || r == '\\' }):
		return errors.New("url has a character that none may have, such as a blank or #")
	case strings.Contains(host, "@"):
		return errors.New("url has a user in it: send a header instead")
	case host == "":
		return errors.New("url names no host")
	}
	return nil
}

// readHeaders returns the headers in the order of their names.
func readHeaders(given map[string]string) (headers [][2]string, err error) {
	if len(given) > maxHeaders {
		return nil, fmt.Errorf("more than %d headers", maxHeaders)
	}
	size := 0
	set := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value := given[name]
		if !isToken(name) || len(name) > maxName || strings.ContainsFunc(value, isBreak) {
			return nil, fmt.Errorf("header %.64q cannot be sent", name)
		}
		header := canonical(name)
		switch {
		case slices.Contains(own, header):
			return nil, fmt.Errorf("header %s is set already", header)
		case slices.Contains(never, header):
			return nil, fmt.Errorf("header %s is not to be set", header)
		case set[header]:
			return nil, fmt.Errorf("header %s is there twice", header)
		}
		set[header] = true
		if size += len(header) + len(value); size > maxBytes {
			return nil, fmt.Errorf("more than %d bytes of headers", maxBytes)
		}
		headers = append(headers, [2]string{header, value})
	}
	return headers, nil
}

// isToken says whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if !('A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// isBreak says what the host takes for a control character.
func isBreak(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// canonical writes a header's name as HTTP/1.1 does. Package net/textproto would
// bring in more than the sandbox has.
func canonical(name string) string {
	parts := strings.Split(strings.ToLower(name), "-")
	for i, p := range parts {
		if p != "" {
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "-")
}

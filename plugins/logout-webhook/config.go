package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/authhost/authhost/plugins/internal/strict"
)

// minSecret is the least length of a secret, in bytes.
const minSecret = 32

// own are the headers that this plugin or the host sets itself.
var own = []string{"Content-Type", signatureHeader, "Idempotency-Key"}

// parseConfig makes a webhook of the plugin's configuration. What it does not
// understand it refuses; of a secret it repeats nothing.
func parseConfig(data []byte) (*webhook, error) {
	var secret string
	var headers map[string]string
	w := &webhook{}
	if err := strict.Object(data, map[string]any{"url": &w.url, "headers": &headers, "secret": &secret}); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(w.url, "https://") && !strings.HasPrefix(w.url, "http://") {
		return nil, errors.New("url is missing, or does not begin with https:// (or http://, where the capability says private)")
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		header := canonical(name)
		if slices.Contains(own, header) {
			return nil, fmt.Errorf("header %s is set already", header)
		}
		if name == "" || strings.ContainsAny(name+headers[name], "\r\n\x00") {
			return nil, errors.New("a header that cannot be sent")
		}
		w.headers = append(w.headers, [2]string{header, headers[name]})
	}
	if secret != "" && len(secret) < minSecret {
		return nil, fmt.Errorf("secret is shorter than %d bytes: openssl rand -hex 32 makes a good one", minSecret)
	}
	w.secret = []byte(secret)
	return w, nil
}

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

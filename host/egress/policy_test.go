package egress_test

import (
	"strings"
	"testing"

	"github.com/authhost/authhost/host/egress"
)

func TestPolicies(t *testing.T) {
	for _, h := range []string{"hooks.example", "*.example", "a_b.c-d.x1", "localhost", "xn--bcher-kva.example", "hooks.example:8443", "*.example:8443",
		"10.1.2.3", "10.1.2.3:80", "[fd00::1]", "[fd00::1]:8080"} {
		if err := egress.CheckHost(h); err != nil {
			t.Errorf("%s: %v", h, err)
		}
	}
	for _, h := range []string{"", "*", "*.", "*.*", "a.*", "*example", "**.example", "Hooks.example", "hooks.example.", "https://hooks.example", "hooks.example/",
		"hooks.example:", "hooks.example:0", "hooks.example:080", "hooks.example:65536", "hooks.example:x", "user@hooks.example", "bücher.example",
		"127.1", "0x7f.1", "2130706433", "*.1", "*.0x7f", "*.127.0.0.1", "fd00::1", "[fd00::1", "[FD00::1]", "[0fd0::1]", "[::ffff:10.0.0.1]", "[fe80::1%lo]", "[10.0.0.1]",
		"a..b", "-a.b", "a-.b", strings.Repeat("a", 64) + ".b", strings.Repeat("a.", 127) + "b"} {
		if err := egress.CheckHost(h); err == nil {
			t.Errorf("%q was taken", h)
		}
	}
}

func TestWhomAPolicyNames(t *testing.T) {
	p := egress.Policy{Hosts: []string{"hooks.example", "*.team.example:8443", "10.1.2.3:81"}}
	for url, want := range map[string]bool{
		"https://hooks.example":              true,
		"https://HOOKS.example:443/a?b":      true,
		"https://hooks.example:8443":         false,
		"https://hooks.example:80":           false,
		"https://a.hooks.example":            false,
		"https://hooks.example.evil":         false,
		"https://xhooks.example":             false,
		"https://a.team.example:8443":        true,
		"https://a.b.team.example:8443":      true,
		"https://a.team.example":             false,
		"https://team.example:8443":          false,
		"https://ateam.example:8443":         false,
		"https://.team.example:8443":         false,
		"https://10.1.2.3:81":                true,
		"https://10.1.2.3":                   false,
		"https://10.01.2.3:81":               false,
		"http://hooks.example":               false,
		"http://hooks.example:443":           false,
		"https://hooks.example@evil":         false,
		"https://evil?https://hooks.example": false,
	} {
		if got := egress.Allowed(p, get(url)); got != want {
			t.Errorf("%s: %v", url, got)
		}
	}
	p.Private = true
	for url, want := range map[string]bool{"http://hooks.example": true, "http://hooks.example:80": true, "http://hooks.example:443": false, "https://hooks.example:80": false} {
		if got := egress.Allowed(p, get(url)); got != want {
			t.Errorf("private, %s: %v", url, got)
		}
	}
}

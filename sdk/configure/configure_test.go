package configure_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/authhost/authhost/sdk/configure"
	"github.com/authhost/authhost/sdk/internal/fakehost"
	"github.com/authhost/authhost/sdk/internal/guest"
)

func TestConfigure(t *testing.T) {
	for _, c := range []struct {
		name, frame, config string
		err                 error
		code                uint32
		answer              string
	}{
		{"accepted", "configure", `{"cookies":["kc_auth"],"allow_user_change":false}`, nil, guest.CodeGoOn, ""},
		{"lazy", "configure with a lazy configuration", strings.Repeat(`{"k":"0123456789abcdef"} `, 200), nil, guest.CodeGoOn, ""},
		{"refused", "configure", `{"cookies":["kc_auth"],"allow_user_change":false}`,
			errors.New(`rules[3]: unknown role "editr"`), guest.CodeNo,
			"\x02\x00\x00\x00\x1e\x00\x00\x00" + `rules[3]: unknown role "editr"`},
		{"refused without a word", "configure", `{"cookies":["kc_auth"],"allow_user_change":false}`, errors.New(""), guest.CodeNo, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			configure.Handle(func(config []byte) error {
				if string(config) != c.config {
					t.Errorf("config %s", config)
				}
				return c.err
			})
			t.Cleanup(configure.Reset)
			var host fakehost.Host
			result := configure.Serve(host.Put(t, c.frame))
			if got := string(guest.Buffer()[:result>>32]); uint32(result) != c.code || got != c.answer {
				t.Errorf("code %d, answer %q, want %d, %q", uint32(result), got, c.code, c.answer)
			}
		})
	}
}

func TestNoHandler(t *testing.T) {
	fakehost.Panics(t, func() { configure.Serve(0) })
}

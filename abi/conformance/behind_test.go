package conformance_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	. "github.com/authhost/authhost/abi/conformance"
)

// behind are the languages whose echo guest has only the first hooks and
// functions. This file goes with the last of them.
var behind = map[string]bool{
	"Rust": true,
}

func runFirst(t *testing.T, start func(context.Context) (Guest, error)) {
	cases, err := Cases()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if c.Hook == "on_login" || c.Hook == "on_logout" || c.Code == 3 || c.Calls != nil || strings.Contains(c.Name, "fetch") || strings.Contains(c.Name, "status of 4") {
			continue
		}
		g, err := start(t.Context())
		if err == nil {
			err = c.Check(t.Context(), g)
		}
		if err != nil {
			t.Error(fmt.Errorf("%s: %w", c.Name, err))
		}
	}
}

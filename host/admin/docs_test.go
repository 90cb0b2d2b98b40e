package admin_test

import (
	"os"
	"strings"
	"testing"

	"github.com/authhost/authhost/host/admin"
)

// Every endpoint has its place in docs/operating.md; those of the operator's
// realms are named by what they begin with.
func TestDocsNameEveryEndpoint(t *testing.T) {
	const system = "/v1/system/realms/{realm}"
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "`"+system+"`") {
		t.Errorf("%s is not in the page", system)
	}
	endpoints := admin.Endpoints()
	if len(endpoints) < 10 {
		t.Errorf("%d endpoints", len(endpoints))
	}
	for _, e := range endpoints {
		if shown := strings.Replace(e, system, "/v1", 1); !strings.Contains(string(page), "`"+shown+"`") {
			t.Errorf("%s is not in the page", e)
		}
	}
}

package cases_test

import (
	"testing"

	"github.com/authhost/authhost/host/kv/kvtest"
	"github.com/authhost/authhost/host/plugin/cases"
)

// A case's keys behave as those in a cache do.
func TestKeysOfAWorld(t *testing.T) {
	kvtest.Words(t, func(t *testing.T, keys int) kvtest.Keys { return &cases.World{Keys: keys} })
}

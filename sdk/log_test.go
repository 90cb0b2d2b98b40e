package sdk_test

import (
	"slices"
	"testing"

	"github.com/authhost/authhost/sdk"
	"github.com/authhost/authhost/sdk/internal/fakehost"
)

func TestLog(t *testing.T) {
	var host fakehost.Host
	host.Put(t, "no field")
	sdk.Debug("a")
	sdk.Info("b")
	sdk.Warn("c")
	sdk.Error("")
	if want := []string{"0 a", "1 b", "2 c", "3 "}; !slices.Equal(host.Lines, want) {
		t.Errorf("logged %q, want %q", host.Lines, want)
	}
}

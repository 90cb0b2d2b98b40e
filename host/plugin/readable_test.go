package plugin

import (
	"strings"
	"testing"
)

func TestReadable(t *testing.T) {
	for name, want := range map[string]string{
		"_ZN6plugin4fall17h9850bc789762e72fE":                                                "plugin::fall",
		"_ZN4core9panicking18panic_bounds_check17h85ba5634c84ff856E":                         "core::panicking::panic_bounds_check",
		"_ZN51_$LT$plugin..Rule$u20$as$u20$core..clone..Clone$GT$5clone17h0123456789abcdefE": "_<plugin::Rule as core::clone::Clone>::clone",
		"_ZN3acl5checkEPKc": "acl::check",
		"main.fall":         "main.fall",
		"_ZN":               "_ZN",
		"_ZN6plug":          "_ZN6plug",
		"_ZNxE":             "_ZNxE",
		"_ZN4294967296aE":   "_ZN4294967296aE",
		"_ZNE":              "_ZNE",
		"":                  "",
	} {
		if got := readable(name); got != want {
			t.Errorf("%q is read as %q, want %q", name, got, want)
		}
	}
	if long := "_ZN" + strings.Repeat("1a", 200) + "E"; !strings.HasPrefix(readable(long), "a::a::") {
		t.Errorf("%q", readable(long))
	}
}

package config

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/dustin/go-humanize"
)

// field is one key of a group: its name in the file and its type.
type field struct {
	name string
	typ  reflect.Type
}

// fields lists the keys of a struct of the configuration.
func fields(t reflect.Type) iter.Seq[field] {
	return func(yield func(field) bool) {
		for f := range t.Fields() {
			if name := f.Tag.Get("koanf"); name != "" && !yield(field{name, f.Type}) {
				return
			}
		}
	}
}

// isGroup says whether t is a mapping of known keys.
func isGroup(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[netip.Prefix]() && t != reflect.TypeFor[host.Pattern]()
}

// isList says whether t is a list.
func isList(t reflect.Type) bool { return t.Kind() == reflect.Slice && t != reflect.TypeFor[JSON]() }

func indirect(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// want says in words what a value of type t is written as.
func want(t reflect.Type) string {
	switch {
	case isGroup(t):
		return "must be a mapping, such as {key: value}"
	case isList(t):
		return "must be a list, such as [a, b]"
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "must be a duration, such as 30s, 5m or 8h"
	case reflect.TypeFor[Size]():
		return "must be a size, such as 32MiB"
	case reflect.TypeFor[netip.Prefix]():
		return "must be an address or a range of them, such as 10.0.0.0/8"
	case reflect.TypeFor[host.Authentication]():
		return "must be one of required, optional, none"
	case reflect.TypeFor[host.Pattern]():
		return "must be a path pattern, such as /api/**"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "must be true or false"
	case reflect.Int:
		return "must be a whole number"
	}
	return "must be text; quote it if it looks like something else"
}

// convert is the decode hook that gives scalars their types, and lets nothing
// through that only resembles what is asked for.
func convert(from, to reflect.Value) (any, error) {
	v := from.Interface()
	text, isText := v.(string)
	refused := errors.New(want(to.Type()))
	switch to.Interface().(type) {
	case time.Duration:
		if d, err := time.ParseDuration(text); err == nil {
			return d, nil
		}
		return nil, refused
	case Size:
		if n, ok := v.(int); ok && n >= 0 {
			return Size(n), nil
		}
		if n, err := humanize.ParseBytes(text); err == nil {
			return Size(n), nil
		}
		return nil, refused
	case netip.Prefix:
		return parsePrefix(text, refused)
	case host.Authentication:
		if i, ok := map[string]host.Authentication{"required": host.Required, "optional": host.Optional, "none": host.None}[text]; ok {
			return i, nil
		}
		return nil, refused
	case host.Pattern:
		if !isText {
			return nil, refused
		}
		return host.ParsePattern(text)
	case JSON:
		return JSON(text), nil
	case Capabilities:
		if _, none := v.([]any); none { // the default; document has made a mapping of any other
			return Capabilities{}, nil
		}
	case string:
		if !isText {
			return nil, refused
		}
	case bool:
		if _, ok := v.(bool); !ok {
			return nil, refused
		}
	case int:
		if _, ok := v.(int); !ok {
			return nil, refused
		}
	}
	return v, nil
}

// parsePrefix reads an address range or a single address.
func parsePrefix(text string, refused error) (any, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return nil, refused
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() {
		return nil, fmt.Errorf("%q is IPv4 in IPv6's clothes: peers are compared as IPv4, write it so", text)
	}
	return p.Masked(), nil
}

// nearest returns the known key that an unknown one was probably meant to be,
// or "".
func nearest(key string, t reflect.Type) string {
	best, least := "", 3
	for f := range fields(t) {
		if d := distance(strings.ToLower(key), f.name); d < least && d < len(f.name)/2+1 {
			best, least = f.name, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove or replace to make b
// from a; keys of hopelessly different length count as far apart.
func distance(a, b string) int {
	if len(a) > len(b)+2 || len(b) > len(a)+2 {
		return len(a) + len(b)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

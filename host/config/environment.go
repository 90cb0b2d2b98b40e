package config

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
)

const envPrefix = "authhost_"

// environment returns the layer of those variables that name a scalar, or a
// list of scalars, outside the lists of entries: AUTHHOST_CACHE__DRIVER for
// cache.driver, in any case. Every other variable is none of ours, even where
// it begins alike: Kubernetes injects AUTHHOST_PORT for a Service.
func environment(r *report, environ []string) *env.Env {
	keys := map[string]reflect.Type{}
	scalars(reflect.TypeFor[Config](), "", keys)
	return env.Provider(".", env.Opt{
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			rest, ok := strings.CutPrefix(strings.ToLower(name), envPrefix)
			if !ok {
				return "", nil
			}
			key := strings.ReplaceAll(rest, "__", ".")
			t, ok := keys[key]
			if !ok || strings.Contains(rest, ".") {
				return "", nil
			}
			if other := r.variables[key]; other != "" {
				r.add(key, "is set by the variable %s too: keep one", name)
				return "", nil
			}
			r.override(key, name)
			return key, envValue(t, value)
		},
	})
}

// scalars gathers the keys that the environment may set.
func scalars(t reflect.Type, prefix string, into map[string]reflect.Type) {
	for f := range fields(t) {
		key := join(prefix, f.name)
		switch inner := indirect(f.typ); {
		case isGroup(inner):
			scalars(inner, key, into)
		case !isList(inner) || !isGroup(inner.Elem()):
			into[key] = inner
		}
	}
}

// override notes that a variable, and not the file, now sets the key.
func (p *places) override(key, variable string) {
	p.variables[key] = variable
	for k := range p.lines {
		if strings.HasPrefix(k, key+"[") {
			delete(p.lines, k)
		}
	}
}

// envValue gives a variable's text the form that the file would have given
// it. Text that does not fit stays text, for the decoder to refuse.
func envValue(t reflect.Type, text string) any {
	if isList(t) {
		list := []any{}
		if text = strings.TrimSpace(text); text == "" {
			return list
		}
		for item := range strings.SplitSeq(text, ",") {
			list = append(list, strings.TrimSpace(item))
		}
		return list
	}
	switch t.Kind() {
	case reflect.Bool:
		switch text {
		case "true":
			return true
		case "false":
			return false
		}
	case reflect.Int:
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	}
	return text
}

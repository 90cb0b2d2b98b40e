package config_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/authhost/authhost/host/config"
)

const reference = "../../docs/configuration.md"

func readReference(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// keysOf lists the keys below t that hold no further known keys, entries of
// lists as name[].
func keysOf(t reflect.Type, prefix string) []string {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Elem().Kind() != reflect.Struct {
			return []string{prefix}
		}
		if t.Kind() == reflect.Slice {
			prefix += "[]"
		}
		t = t.Elem()
	}
	var keys []string
	if t.Kind() == reflect.Struct && t != reflect.TypeFor[config.Capabilities]() { // a list, in the file
		for f := range t.Fields() {
			if name := f.Tag.Get("koanf"); name != "" {
				keys = append(keys, keysOf(f.Type, strings.TrimPrefix(prefix+"."+name, "."))...)
			}
		}
	}
	if keys == nil {
		return []string{strings.TrimSuffix(prefix, "[]")}
	}
	return keys
}

var row = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]+ \\| (`([^`]+)`|none|required) \\|.*\\|$")

// rows returns the reference's keys and what it says of their defaults.
func rows(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(readReference(t), -1) {
		if _, twice := found[m[1]]; twice {
			t.Errorf("%s is documented twice", m[1])
		}
		found[m[1]] = m[3] // empty: no default
	}
	return found
}

func TestReferenceDocumentsEveryKey(t *testing.T) {
	documented := rows(t)
	known := map[string]bool{"realms[].issuers": true, "realms[].credentials": true}
	for _, key := range keysOf(reflect.TypeFor[config.Config](), "") {
		known[key] = true
		if _, ok := documented[key]; !ok {
			t.Errorf("%s has no row in %s", key, reference)
		}
	}
	if len(known) < 60 {
		t.Errorf("only %d keys found in Config", len(known))
	}
	for key := range documented {
		if !known[key] {
			t.Errorf("%s documents %s, which is no key", reference, key)
		}
	}
}

func TestReferenceGivesTheDefaults(t *testing.T) {
	text, err := os.ReadFile("defaults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var sections map[string]any
	if err := yaml.Unmarshal(text, &sections); err != nil {
		t.Fatal(err)
	}
	for key, said := range rows(t) {
		var want, got any = nil, sections
		if err := yaml.Unmarshal([]byte(said), &want); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		i := strings.LastIndex(key, "[].")
		path := "config." + key
		if i >= 0 {
			list := key[:i]
			path = list[strings.LastIndex(list, ".")+1:] + key[i+2:]
		}
		for name := range strings.SplitSeq(path, ".") {
			group, _ := got.(map[string]any)
			got = group[name]
		}
		if key == "plugins[].config" {
			got = map[string]any{}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the reference says %v, the default is %v", key, want, got)
		}
	}
}

var example = regexp.MustCompile("(?s)\n```yaml\n(.*?)```")

func TestReferenceExamplesLoad(t *testing.T) {
	examples := example.FindAllStringSubmatch(readReference(t), -1)
	if len(examples) < 3 {
		t.Fatalf("%d examples found", len(examples))
	}
	for _, e := range examples {
		if _, err := load(t, e[1]); err != "" {
			t.Errorf("%s\n%s", err, e[1])
		}
	}
}

// The variables that the reference shows take effect, and its errors are
// those that Load gives.
func TestReferenceEnvironmentAndErrors(t *testing.T) {
	text := readReference(t)
	_, block, _ := strings.Cut(text, "```sh\n")
	block, _, _ = strings.Cut(block, "\n```")
	c := mustLoad(t, "cache: {redis: {cluster: true}}", strings.Split(block, "\n")...)
	if c.Cache.Driver != "redis" || len(c.Cache.Redis.Addrs) != 2 || len(c.TrustedProxies) != 2 {
		t.Errorf("got %+v, %v", c.Cache, c.TrustedProxies)
	}
	_, errs := load(t, "realms:\n  - issuers:\n      - issuer: i\n        audiences: [a]\n        jwks_file: k\n        algorithms: [none]\n", "AUTHHOST_CACHE__DRIVER=disk")
	for line := range strings.SplitSeq(errs, "\n") {
		if !strings.Contains(text, "\n  "+line+"\n") {
			t.Errorf("the reference does not show %s", line)
		}
	}
}

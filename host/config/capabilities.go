package config

import (
	"fmt"
	"reflect"

	"github.com/authhost/authhost/host/egress"
	"go.yaml.in/yaml/v3"
)

// Capabilities is what a plugin is granted. In the file it is a list of names,
// and of mappings of one name to its scope: [session, {kv: {keys: 1000}}].
type Capabilities struct {
	Session     bool  `koanf:"session"`
	Credentials bool  `koanf:"credentials"`
	KV          *KV   `koanf:"kv"`   // nil: not granted
	HTTP        *HTTP `koanf:"http"` // nil: not granted
}

// KV is the scope of the capability kv.
type KV struct {
	Keys int `koanf:"keys"` // that may live at once
}

// HTTP is the scope of the capability http.
type HTTP struct {
	Hosts   []string `koanf:"hosts"`
	Private bool     `koanf:"private"` // addresses of private networks too
}

// maxKeys is the most keys that one plugin can be given.
const maxKeys = 100_000

// scopes says what each capability is written with, and of which type its scope
// is, if it has one.
var scopes = map[string]struct {
	example string
	scope   reflect.Type
}{
	"session": {}, "credentials": {},
	"kv":   {"{kv: {keys: 1000}}", reflect.TypeFor[KV]()},
	"http": {"{http: {hosts: [hooks.example]}}", reflect.TypeFor[HTTP]()},
}

// capabilities returns a list of capabilities as a mapping of their names.
func (d *document) capabilities(n *yaml.Node, key string, depth int) map[string]any {
	if n.Kind != yaml.SequenceNode {
		d.fail(key, "must be a list, such as [session, {kv: {keys: 1000}}]")
		return nil
	}
	given := map[string]any{}
	for i, item := range n.Content {
		k := fmt.Sprintf("%s[%d]", key, i)
		d.lines[k] = item.Line
		if item.Kind == yaml.AliasNode {
			item = item.Alias
		}
		if !d.enter(depth + 1) {
			return nil
		}
		name, scope, ok := d.capability(item, k)
		if !ok {
			continue
		}
		if _, twice := given[name]; twice {
			d.add(k, "%s is listed already", name)
			continue
		}
		d.lines[join(key, name)] = item.Line
		given[name] = true
		if scope != nil {
			given[name] = d.value(scope, scopes[name].scope, join(key, name), depth+2)
		}
	}
	return given
}

// capability returns the name and the scope of one, nil if it has none to have.
func (d *document) capability(n *yaml.Node, key string) (name string, scope *yaml.Node, ok bool) {
	switch {
	case n.Kind == yaml.ScalarNode:
		name = n.Value
	case n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Kind == yaml.ScalarNode:
		name, scope = n.Content[0].Value, n.Content[1]
	default:
		d.add(key, "must be a capability: session, credentials, or one with its scope, such as {kv: {keys: 1000}}")
		return "", nil, false
	}
	is, known := scopes[name]
	switch {
	case !known:
		d.add(key, "%.64q is no capability; there are session, credentials, kv, http", name)
	case is.scope == nil && scope != nil:
		d.add(key, "%s has no scope: write it alone", name)
	case is.scope != nil && scope == nil:
		d.add(key, "%s needs its scope, such as %s", name, is.example)
	default:
		return name, scope, true
	}
	return "", nil, false
}

func checkCapabilities(r *report, key string, c *Capabilities) {
	if c.KV != nil && (c.KV.Keys < 1 || c.KV.Keys > maxKeys) {
		r.add(key+".kv.keys", "must be from 1 to %d", maxKeys)
	}
	if c.HTTP == nil {
		return
	}
	if len(c.HTTP.Hosts) == 0 {
		r.add(key+".http.hosts", "is required: which hosts may be asked")
	}
	for i, h := range c.HTTP.Hosts {
		if err := egress.CheckHost(h); err != nil {
			r.add(fmt.Sprintf("%s.http.hosts[%d]", key, i), "%s", err)
		}
	}
}

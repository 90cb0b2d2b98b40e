package strict_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/authhost/authhost/plugins/internal/strict"
)

func TestObjectReadsWhatItKnows(t *testing.T) {
	var (
		names []string
		on    bool
		raw   []json.RawMessage
		kept  = "kept"
	)
	err := strict.Object([]byte(` {"names":["a","b"],"on":true,"raw":[{"x":1}]} `),
		map[string]any{"names": &names, "on": &on, "raw": &raw, "kept": &kept})
	if err != nil || !slices.Equal(names, []string{"a", "b"}) || !on || string(raw[0]) != `{"x":1}` || kept != "kept" {
		t.Fatal(names, on, raw, kept, err)
	}
	for _, empty := range []string{"", " \n", "{}"} {
		if err := strict.Object([]byte(empty), nil); err != nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

func TestObjectRefuses(t *testing.T) {
	tests := []struct{ data, want string }{
		{`{"nams":[]}`, `unknown key "nams", known are labels, limit, names, on, text`},
		{`{"Names":[]}`, `unknown key "Names", known are labels, limit, names, on, text`},
		{`{"names":"a"}`, `names: string where a list belongs`},
		{`{"names":{"a":1}}`, `names: object where a list belongs`},
		{`{"names":[1]}`, `names: number where a text belongs`},
		{`{"names":["a",null]}`, `names: null where a text belongs`},
		{`{"names":null}`, `names: no value`},
		{`{"on":"yes"}`, `on: string where true or false belongs`},
		{`{"text":5}`, `text: number where a text belongs`},
		{`{"limit":"5"}`, `limit: string where a whole number belongs`},
		{`{"limit":1.5}`, `limit: number 1.5 where a whole number belongs`},
		{`{"labels":[]}`, `labels: array where an object belongs`},
		{`{"labels":{"a":1}}`, `labels: number where a text belongs`},
		{`{"labels":{"a":"b","c":null}}`, `labels: null where a text belongs`},
		{`[]`, `array where an object belongs`},
		{`5`, `number where an object belongs`},
		{`null`, `null where an object belongs`},
		{`{"on":true} {}`, `not JSON: invalid character '{' after top-level value`},
		{`{"on":true`, `not JSON: unexpected end of JSON input`},
	}
	for _, test := range tests {
		var (
			names  []string
			on     bool
			text   string
			limit  int64
			labels map[string]string
		)
		err := strict.Object([]byte(test.data), map[string]any{"names": &names, "on": &on, "text": &text, "limit": &limit, "labels": &labels})
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.data, err, test.want)
		}
	}
}

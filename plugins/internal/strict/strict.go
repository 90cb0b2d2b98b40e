// Package strict reads a plugin's configuration so that no mistake in it goes
// unnoticed: unknown keys, keys in another letter case, nulls, wrong types and
// trailing data are errors, each named by its key.
//
// It owns the form alone; what the values mean is the plugin's business.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Object reads one JSON object. Each key of the object must be one of into,
// and its value is decoded to where into points. Keys that the object lacks
// leave their target as it was. Empty data counts as an empty object.
func Object(data []byte, into map[string]any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	var given map[string]json.RawMessage
	if err := value(data, &given); err != nil {
		return err
	}
	if given == nil {
		return errors.New("null where an object belongs")
	}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		target, ok := into[key]
		if !ok {
			known := strings.Join(slices.Sorted(maps.Keys(into)), ", ")
			return fmt.Errorf("unknown key %.64q, known are %s", key, known)
		}
		if string(given[key]) == "null" {
			return fmt.Errorf("%s: no value", key)
		}
		if err := value(given[key], target); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// value decodes one JSON value, says wrong types in plain words and refuses a
// null among texts, which encoding/json would take for an empty one.
func value(data []byte, into any) error {
	err := json.Unmarshal(data, into)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return fmt.Errorf("%s where %s belongs", wrong.Value, kind(wrong.Type.Kind().String()))
	}
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	var items []*string
	switch into.(type) {
	case *[]string:
		err = json.Unmarshal(data, &items)
	case *map[string]string:
		var named map[string]*string
		err = json.Unmarshal(data, &named)
		items = slices.Collect(maps.Values(named))
	}
	if err != nil || slices.Contains(items, nil) {
		return errors.New("null where a text belongs")
	}
	return nil
}

// kind names a Go kind as the writer of a configuration knows it.
func kind(goKind string) string {
	switch goKind {
	case "string":
		return "a text"
	case "bool":
		return "true or false"
	case "int64":
		return "a whole number"
	case "slice":
		return "a list"
	}
	return "an object"
}

package config

import "reflect"

// RestartNeeded compares a new configuration with the one in force. It
// returns nil when new can be applied to the running process, else Problems:
// each changed key of listen, and of cache other than near.
func RestartNeeded(old, new *Config) error {
	r := &report{places: new.places}
	changed(r, "listen", reflect.ValueOf(old.Listen), reflect.ValueOf(new.Listen))
	changed(r, "cache", reflect.ValueOf(old.Cache), reflect.ValueOf(new.Cache))
	return r.err()
}

func changed(r *report, key string, old, new reflect.Value) {
	if key == "cache.near" {
		return
	}
	if isGroup(old.Type()) {
		for i := range old.NumField() {
			changed(r, join(key, old.Type().Field(i).Tag.Get("koanf")), old.Field(i), new.Field(i))
		}
		return
	}
	if !reflect.DeepEqual(old.Interface(), new.Interface()) {
		r.add(key, "changed from %v to %v, which takes a restart", shown(old), shown(new))
	}
}

// shown returns a value as an error shows it.
func shown(v reflect.Value) any {
	if v.Kind() == reflect.String && v.Len() == 0 {
		return `""`
	}
	return v.Interface()
}

// Package replay keeps the last decisions of a plugin and asks another version
// of it the same requests, to show what would change.
package replay

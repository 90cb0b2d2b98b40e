package source

import (
	"os"
	"os/exec"
	"testing"
)

// The go command takes some names for something else than a module's: a plugin
// may be called so all the same.
func TestNewInGoWithNamesOfTheGoCommand(t *testing.T) {
	for _, name := range []string{"gate", "all", "cmd", "go", "std"} {
		dir, _, err := New(t.TempDir(), name, "go")
		if err != nil {
			t.Fatal(err)
		}
		list := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Name}}", ".")
		list.Dir, list.Env = dir, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off")
		if out, err := list.CombinedOutput(); err != nil || string(out) != "main\n" {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

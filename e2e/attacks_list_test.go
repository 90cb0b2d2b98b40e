package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// requestAttacks are the numbers of the attacks by request, each of which is
// in the name of a test somewhere.
var requestAttacks = []int{1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 14, 16, 17, 20, 21, 22, 23, 25, 27, 28, 29, 31, 32, 33, 34, 36, 37, 38, 39, 40, 41, 42, 43}

// pluginAttacks are the attacks by plugin, each with the tests that show what
// becomes of it: after a slash, the name of one of a test's cases. Cases of
// TestAttackPlugin_time, _memory, _host_calls and _traps are run in each hook
// and at each step of a start, those of TestAttackPlugin_output in each hook
// that may not answer so.
var pluginAttacks = []struct {
	name  string
	tests []string
}{
	{"endless loop", []string{"TestAttackPlugin_time/endless_loop", "TestGoGuestFailures/loop", "TestHostileGuests/loop"}},
	{"exponential recursion", []string{"TestAttackPlugin_time/exponential_recursion"}},
	{"stack overflow", []string{"TestAttackPlugin_time/stack_overflow", "TestAttackPlugin_stack_overflow", "TestAttackPlugin_deep_recursion_that_returns", "TestHostileGuests/recurse"}},
	{"memory bomb", []string{"TestAttackPlugin_memory/memory_bomb", "TestHostMemoryReturns", "TestAttackPlugin_table_bomb", "TestHostileGuestMemory/eat"}},
	{"memory.fill in a loop", []string{"TestAttackPlugin_time/endless_loop_of_memory_fill", "TestAttackPlugin_loop_that_holds_up_the_collector/memory.fill"}},
	{"a flood of host calls", []string{"TestAttackPlugin_host_calls/flood_of_get", "TestAttackPlugin_host_calls/flood_of_fd_write_of_nothing", "TestAttackPlugin_flood_of_get_of_what_is_long"}},
	{"a flood of logs", []string{"TestAttackPlugin_host_calls/flood_of_log", "TestAttackPlugin_flood_of_lines", "TestHostileGuests/chatter"}},
	{"pointer out of range", []string{"TestAttackPlugin_host_calls/get_name_out_of_range", "TestAttackPlugin_host_calls/log_out_of_range", "TestAttackPlugin_start/buffer out of range"}},
	{"pointer and length beyond 32 bits", []string{"TestAttackPlugin_host_calls/get_room_beyond_32_bits", "TestAttackPlugin_lists_of_WASI", "TestAttackPlugin_start/buffer beyond 32 bits"}},
	{"huge output", []string{"TestAttackPlugin_output/answer_of_4_GiB", "TestAttackPlugin_output/answer_longer_than_the_host_takes"}},
	{"not UTF-8 in a header value", []string{"TestAttackPlugin_output/header_not_UTF-8"}},
	{"CR in a header value", []string{"TestAttackPlugin_output/header_with_CR"}},
	{"LF in a header value", []string{"TestAttackPlugin_output/header_with_LF"}},
	{"NUL in a header value", []string{"TestAttackPlugin_output/header_with_NUL"}},
	{"header it may not set: Host", []string{"TestAttackPlugin_output/header_Host"}},
	{"header it may not set: hop-by-hop", []string{"TestAttackPlugin_output/header_hop_by_hop"}},
	{"header it may not set: identity", []string{"TestAttackPlugin_output/header_of_identity"}},
	{"unknown decision code", []string{"TestAttackPlugin_output/unknown_code"}},
	{"trap or exit in start, configure and each hook", []string{"TestAttackPlugin_traps/trap", "TestAttackPlugin_traps/exit_0"}},
	{"slow start", []string{"TestAttackPlugin_slow_start"}},
	{"compile bomb", []string{"TestAttackPlugin_compile_bomb/a million functions"}},
	{"wrong ABI version", []string{"TestAttackPlugin_static_checks/another version"}},
	{"missing export", []string{"TestAttackPlugin_static_checks/no buffer", "TestAttackPlugin_static_checks/no memory", "TestAttackPlugin_static_checks/no hook"}},
	{"wrong signature", []string{"TestAttackPlugin_static_checks/hook of the wrong type", "TestAttackPlugin_static_checks/get of the wrong type"}},
	{"undeclared import", []string{"TestAttackPlugin_static_checks/ungranted host function", "TestAttackPlugin_static_checks/another module"}},
	{"re-entry", []string{"TestAttackPlugin_reentry"}},
	{"trap half-way through its changes", []string{"TestAttackPlugin_trap_half_way"}},
	{"a secret left in memory for the next request", []string{"TestIsolation", "TestIsolationOfElements", "TestIsolationOfAGoGuest", "TestAttackPlugin_trap_half_way"}},
	{"a call that is still running when the plugin is reloaded", []string{"TestAttackPlugin_call_still_running_at_close", "TestReloadUnderLoad"}},
	{"a file half-written when the watcher sees it", []string{"TestReloadWaitsForTheRestOfAModule", "TestWatcherWaitsUntilAFileStandsStill"}},
	{"a corrupt compile-cache file", []string{"TestAttackPlugin_corrupt_cache"}},
	{"a tampered module", []string{"TestSignedPlugin", "TestReloadHeedsThePin"}},
	{"an invalid module that metering would make valid", []string{"TestAttackPlugin_invalid_module_that_metering_would_make_valid"}},
	{"a huge straight-line loop body", []string{"TestAttackPlugin_time/huge_loop_body", "TestFuelPartsAreBounded"}},
	{"a guest that reads Authorization or Cookie", []string{"TestGet", "FuzzGet"}},
	{"two plugins reloaded at once", []string{"TestReloadUnderLoad"}},
	{"an HTTP call redirected to a private address", []string{"TestAttackPlugin_fetch_redirected_to_a_private_address", "TestPrivateByRedirect", "TestPrivateByDNSAnswer", "TestPrivateByRebinding", "TestPrivateByLiteral"}},
}

// Every attack that authhost must withstand by now has a test. The tests are
// read out of the source, and are run with the packages that they stand in.
func TestEveryAttackHasATest(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(\w \*testing\.[TF]\) \{`)
	sources := map[string]string{} // by test
	folders := map[string]string{} // all tests of a folder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) && path != root:
			return filepath.SkipDir
		case !strings.HasSuffix(d.Name(), "_test.go") || d.Name() == "attacks_list_test.go":
			return nil
		}
		source, err := os.ReadFile(path)
		for _, f := range declared.FindAllSubmatch(source, -1) {
			sources[string(f[1])] = filepath.Dir(path)
		}
		folders[filepath.Dir(path)] += string(source)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var numbered strings.Builder
	for name := range sources {
		fmt.Fprintln(&numbered, name)
	}
	for _, n := range requestAttacks {
		if !strings.Contains(numbered.String(), fmt.Sprintf("TestAttack%02d_", n)) {
			t.Errorf("no test is named TestAttack%02d_…", n)
		}
	}
	for _, a := range pluginAttacks {
		for _, test := range a.tests {
			name, part, _ := strings.Cut(test, "/")
			folder, ok := sources[name]
			if !ok || part != "" && !strings.Contains(folders[folder], `"`+part+`"`) {
				t.Errorf("%s: there is no test %s", a.name, test)
			}
		}
		if len(a.tests) == 0 {
			t.Errorf("%s: no test", a.name)
		}
	}
}

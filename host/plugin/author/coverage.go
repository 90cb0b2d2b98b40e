package author

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"

	"github.com/authhost/authhost/host/plugin/cases"
)

// Coverage says which rules of a configuration were named by the reason of an
// answer, of all the cases that have that configuration. It says nothing of a
// plugin that does not name rules, and nothing of the plugin's code.
type Coverage struct {
	Line    int // of the cases file, where the first case with that configuration begins
	Rules   int
	Missing []Rule
}

// Rule is a rule that no reason named.
type Rule struct {
	Index int
	Text  string // as the configuration has it, in JSON
}

// named is a reason that names its rule, as rules[3] or rules[3] needs editor.
var named = regexp.MustCompile(`^rules\[(\d{1,6})\]`)

// coverage judges the configurations that have rules. If no reason named one,
// the plugin does not report them, and there is nothing to say.
func coverage(config []byte, set *cases.Set, reports []cases.Report) (all []Coverage) {
	reasons := map[*cases.Case]string{}
	for _, r := range reports {
		reasons[r.Case] = r.Got.Reason
	}
	reported := false
	for _, g := range set.Groups() {
		rules := rulesOf(g.Config, config)
		if len(rules) == 0 {
			continue
		}
		met := make([]bool, len(rules))
		for _, c := range g.Cases {
			if name := named.FindStringSubmatch(reasons[c]); name != nil {
				if n, err := strconv.Atoi(name[1]); err == nil && n < len(met) {
					met[n], reported = true, true
				}
			}
		}
		one := Coverage{Line: g.Cases[0].Line, Rules: len(rules)}
		for n := range rules {
			if !met[n] {
				one.Missing = append(one.Missing, Rule{n, compact(rules[n])})
			}
		}
		all = append(all, one)
	}
	if !reported {
		return nil
	}
	return all
}

// rulesOf returns the list rules of a configuration, or of the other one if it
// is nil.
func rulesOf(config, other []byte) []json.RawMessage {
	if config == nil {
		config = other
	}
	var c struct {
		Rules []json.RawMessage `json:"rules"`
	}
	if json.Unmarshal(config, &c) != nil {
		return nil // something else than what this is about
	}
	return c.Rules
}

func compact(rule []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, rule) != nil {
		return string(rule)
	}
	return b.String()
}

package author

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/authhost/authhost/host/plugin/cases"
)

// WriteText shows what a person wants to know: each failed case with what
// differs, and how many passed.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for i := range r.Cases {
		r.Cases[i].text(&b)
	}
	passed, rest := len(r.Cases)-r.Failed, ""
	if r.NotAsked > 0 {
		rest = fmt.Sprintf(", %d not asked", r.NotAsked)
	}
	fmt.Fprintf(&b, "%s: %d cases, %d passed, %d failed%s, on both engines (%.1f s)\n", r.Plugin, len(r.Cases), passed, r.Failed-r.NotAsked, rest, r.Took.Seconds())
	if asked := r.asked(); asked > cases.Time {
		fmt.Fprintf(&b, "%s: the answers took %.1f s; a host refuses a version whose cases take more than %s, load included\n", r.Plugin, asked.Seconds(), cases.Time)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// asked is how long the guest had the word, on both engines.
func (r *Report) asked() (sum time.Duration) {
	for i := range r.Cases {
		sum += r.Cases[i].Took
	}
	return sum
}

// text shows a case that failed.
func (c *Case) text(b *strings.Builder) {
	if len(c.Problems) == 0 || c.NotAsked {
		return
	}
	fmt.Fprintf(b, "FAIL  %s  (%s:%d)\n      %s\n", printable(c.Name), printable(filepath.Base(c.File)), c.Line, printable(c.Input))
	c.details(b, "      ")
	b.WriteString("\n")
}

// details shows what is wrong with a case, each line after indent.
func (c *Case) details(b *strings.Builder, indent string) {
	width := 0
	for _, p := range c.Problems {
		width = max(width, len(p.Field))
	}
	for _, p := range c.Problems {
		if p.Text != "" {
			fmt.Fprintf(b, "%s%s\n", indent, printable(p.Text))
			continue
		}
		want, got := "want ", "got  "
		if p.Engines {
			want, got = "compiler    ", "interpreter "
		}
		fmt.Fprintf(b, "%s%-*s  %s%s\n", indent, width, p.Field, want, printable(p.Want))
		fmt.Fprintf(b, "%s%-*s  %s%s\n", indent, width, "", got, printable(p.Got))
		if n := apart(p.Want, p.Got); n > 0 {
			fmt.Fprintf(b, "%s%-*s  %s^\n", indent, width, "", strings.Repeat(" ", len(want)+n))
		}
	}
	c.list(b, indent, "in", c.Stack)
	c.list(b, indent, "the plugin said", c.Said)
}

func (c *Case) list(b *strings.Builder, indent, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "%s%s:\n", indent, title)
	for _, line := range lines {
		fmt.Fprintf(b, "%s  %s\n", indent, printable(line))
	}
}

// apart returns after how many characters two quoted texts differ; 0 if no mark
// there would help: they begin differently, or are no texts.
func apart(want, got string) int {
	if !strings.HasPrefix(want, `"`) || !strings.HasPrefix(got, `"`) {
		return 0
	}
	n := 0
	for len(want) > 0 && len(got) > 0 {
		a, size := utf8.DecodeRuneInString(want)
		if b, _ := utf8.DecodeRuneInString(got); a != b {
			break
		}
		want, got = want[size:], got[size:]
		n++
	}
	if n <= 1 {
		return 0
	}
	return n
}

// printable replaces what a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}

// WriteCoverage shows which rules no case met.
func (r *Report) WriteCoverage(w io.Writer) error {
	var b strings.Builder
	if len(r.Coverage) == 0 {
		b.WriteString("coverage: no reason of an answer names a rule of the configuration, such as rules[0]\n")
	}
	for _, c := range r.Coverage {
		fmt.Fprintf(&b, "coverage: %d of %d rules were named by the reason of an answer (configuration of the case in line %d)\n", c.Rules-len(c.Missing), c.Rules, c.Line)
		for _, m := range c.Missing {
			fmt.Fprintf(&b, "  never: rules[%d] %s\n", m.Index, printable(m.Text))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

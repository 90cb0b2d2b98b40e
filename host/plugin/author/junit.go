package author

import (
	"encoding/xml"
	"io"
	"strconv"
	"strings"
	"time"
)

// The elements and attributes of JUnit's reports that CI systems read.
type (
	junitSuites struct {
		XMLName  xml.Name   `xml:"testsuites"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Time     string     `xml:"time,attr"`
		Suite    junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string      `xml:"name,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Skipped   int         `xml:"skipped,attr"`
		Time      string      `xml:"time,attr"`
		Timestamp string      `xml:"timestamp,attr"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure"` // another answer
		Error   *junitFailure `xml:"error"`   // no answer
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report as CI systems read it.
func (r *Report) WriteJUnit(w io.Writer) error {
	suite := junitSuite{Name: r.Plugin, Tests: len(r.Cases), Time: seconds(r.Took), Timestamp: r.Began.UTC().Format("2006-01-02T15:04:05")}
	for i := range r.Cases {
		c := r.Cases[i].junit(r.Plugin)
		if c.Error != nil {
			suite.Errors++
		} else if c.Failure != nil {
			suite.Failures++
		}
		suite.Cases = append(suite.Cases, c)
	}
	all := junitSuites{Name: "authhost plugin test", Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors, Time: suite.Time, Suite: suite}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (c *Case) junit(plugin string) junitCase {
	j := junitCase{Name: c.Name, Class: plugin, File: c.File, Line: c.Line, Time: seconds(c.Took)}
	if len(c.Problems) == 0 {
		return j
	}
	var text strings.Builder
	text.WriteString(c.Input + "\n")
	c.details(&text, "")
	first := c.Problems[0]
	f := &junitFailure{Text: text.String()}
	if first.Text != "" {
		f.Message, f.Type = first.Text, "no answer"
		if c.NotAsked {
			f.Type = "not asked"
		}
		j.Error = f
		return j
	}
	f.Message, f.Type = first.Field+": want "+first.Want+", got "+first.Got, "difference"
	if first.Engines {
		f.Message, f.Type = first.Field+": "+first.Want+" on the compiler, "+first.Got+" on the interpreter", "engines disagree"
	}
	j.Failure = f
	return j
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

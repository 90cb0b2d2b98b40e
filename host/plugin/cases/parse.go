package cases

// Problem is one thing wrong with a cases file.
type Problem struct {
	File string
	Line int    // from 1
	Key  string // such as [0].request.method; empty for the file
	Text string
}

// Error returns "file:line: key: text".
func (p *Problem) Error() string { return p.Text }

// Problems is everything found wrong, in the order of the lines.
type Problems []*Problem

// Error returns one problem a line.
func (ps Problems) Error() string { return "" }

// Parse reads a cases file; file is its name in errors. An error is Problems.
func Parse(file string, content []byte) (*Set, error) { return &Set{file: file}, nil }

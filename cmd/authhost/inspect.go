package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/authhost/authhost/host/plugin/author"
)

// showInspection shows what a module is like to a person.
func showInspection(stdout io.Writer, in *author.Inspection) error {
	var steps []string
	for _, s := range in.Steps {
		steps = append(steps, fmt.Sprintf("%s %.1f", s.Name, s.Ms))
	}
	signed := "none beside it"
	if s := in.Signature; s != nil {
		signed = fmt.Sprintf("key %s, version %s, not judged here", dash(s.KeyID), dash(s.Version))
		if s.Problem != "" {
			signed += ": " + s.Problem
		}
	}
	if err := writeTable(stdout,
		"plugin\t"+in.Name,
		"module\t"+in.Module,
		"size\t"+fmt.Sprintf("%d bytes", in.Size),
		"sha256\t"+in.SHA256,
		"signature\t"+signed,
		"hooks\t"+strings.Join(in.Hooks, " "),
		"imports\t"+dash(importsText(in.Imports)),
		"capabilities\t"+cmp.Or(strings.Join(in.Grants, ", "), "none")+"; credentials cannot be seen in a module",
		"memory\t"+fmt.Sprintf("%.2f MiB once configured", float64(in.Memory)/(1<<20)),
		"load, ms\t"+strings.Join(steps, ", "),
	); err != nil || len(in.Cases) == 0 {
		return err
	}
	rows := []string{"CASE\tHOOK\tFUEL\tOF A CALL'S"}
	for _, c := range in.Cases {
		part := fmt.Sprintf("%.2f %%", 100*float64(c.Fuel)/float64(author.MostFuel))
		if c.Error != "" {
			part = firstLine(c.Error)
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%s", c.Name, c.Hook, c.Fuel, part))
	}
	fmt.Fprintln(stdout)
	return writeTable(stdout, rows...)
}

// importsText names the host's own functions, and counts those of others, which
// are the toolchain's.
func importsText(imports []author.Import) string {
	var own []string
	others := map[string]int{}
	for _, i := range imports {
		switch {
		case i.Module != "authhost":
			others[i.Module]++
		case i.Grant != "":
			own = append(own, i.Name+" (needs "+i.Grant+")")
		default:
			own = append(own, i.Name)
		}
	}
	for _, module := range slices.Sorted(maps.Keys(others)) {
		own = append(own, fmt.Sprintf("%d of %s", others[module], module))
	}
	return strings.Join(own, ", ")
}

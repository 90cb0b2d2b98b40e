package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/authhost/authhost/plugins/internal/strict"
	"github.com/authhost/authhost/sdk/credential"
)

// policy says which cookies may stand in for a failed credential.
type policy struct {
	cookies         []string // in the order in which they are tried
	allowUserChange bool
}

// parseConfig makes a policy of the plugin's configuration.
func parseConfig(data []byte) (*policy, error) {
	p := &policy{}
	err := strict.Object(data, map[string]any{"cookies": &p.cookies, "allow_user_change": &p.allowUserChange})
	if err != nil {
		return nil, err
	}
	if len(p.cookies) == 0 {
		return nil, errors.New("cookies is empty: name at least one")
	}
	for i, name := range p.cookies {
		if !isToken(name) {
			return nil, fmt.Errorf("cookies[%d]: %.64q is not a cookie's name", i, name)
		}
		if slices.Contains(p.cookies[:i], name) {
			return nil, fmt.Errorf("cookies[%d]: %q is there twice", i, name)
		}
	}
	return p, nil
}

// isToken says whether s is a token (RFC 9110, section 5.6.2), as the names of
// cookies are.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
}

type action uint8

const (
	abstain action = iota
	try
	stop
)

// choose picks the first configured cookie that is present and untried.
//
// It stands in for a header or for another configured cookie, whatever the
// verdict on that was; when anything else has failed, choose abstains. And it
// must not make one user act as another: should a credential that has failed,
// or any header, name a user for certain and the cookie name another, choose
// stops rather than pass over that cookie to the next.
func (p *policy) choose(all []credential.Candidate) (credential.Candidate, action) {
	for _, c := range all {
		if c.Tried() && c.Source != credential.Header && !p.lists(c) {
			return c, abstain
		}
	}
	next, ok := p.next(all)
	if !ok {
		return next, abstain
	}
	if next.UserID == "" || p.allowUserChange {
		return next, try
	}
	for _, c := range all {
		if (c.Tried() || c.Source == credential.Header) && c.UserID != "" && c.UserID != next.UserID {
			return next, stop
		}
	}
	return next, try
}

// next returns the first cookie to try, in the configured order.
func (p *policy) next(all []credential.Candidate) (credential.Candidate, bool) {
	for _, name := range p.cookies {
		for _, c := range all {
			if c.Source == credential.Cookie && c.Name == name && !c.Tried() {
				return c, true
			}
		}
	}
	return credential.Candidate{}, false
}

// lists says whether c is one of the configured cookies.
func (p *policy) lists(c credential.Candidate) bool {
	return c.Source == credential.Cookie && slices.Contains(p.cookies, c.Name)
}

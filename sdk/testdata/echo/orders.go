package main

import (
	"strconv"
	"strings"

	"github.com/authhost/authhost/sdk"
	"github.com/authhost/authhost/sdk/fetch"
	"github.com/authhost/authhost/sdk/kv"
	"github.com/authhost/authhost/sdk/session"
)

// common carries out what all hooks know.
func common(order string) {
	switch order[0] {
	case '!':
		panic("as told")
	case 'l':
		say := [...]func(string){sdk.Debug, sdk.Info, sdk.Warn, sdk.Error}[order[1]-'0']
		say(order[2:])
	case 'm':
		echoed.Add(decimal(order[1:]))
	case 'a':
		attribute(order)
	case 'k':
		key(order)
	default:
		panic("unknown order")
	}
}

// found says what was read.
func found(order, value string, ok bool) {
	sdk.Debug(order)
	if ok {
		sdk.Info(value)
	} else {
		sdk.Warn("")
	}
}

func get(r *sdk.Request, claim func(string) (string, bool), order string) {
	name, index := order[3:], int(order[2]-'0')
	var value string
	var ok bool
	switch order[1] {
	case '1':
		value, ok = r.HeaderAt(name, index)
	case '2':
		value, ok = r.CookieAt(name, index)
	case '3':
		value, ok = r.QueryParamAt(name, index)
	case '4':
		value, ok = claim(name)
	}
	found(order, value, ok)
}

// attribute reads or changes one of the session.
func attribute(order string) {
	rest := order[2:]
	name, value, _ := strings.Cut(rest, ":")
	var r session.Result
	switch order[1] {
	case 'g':
		value, ok := session.Get(rest)
		found(order, value, ok)
		return
	case 'c':
		r = session.Create(name, value)
	case 's':
		old, next, _ := strings.Cut(value, ":")
		r = session.Swap(name, old, next)
	case 'd':
		r = session.Delete(name, value)
	default:
		panic("unknown order")
	}
	item(order, map[session.Result]string{session.Done: "done", session.Other: "other", session.Ended: "ended"}[r])
}

// key reads or changes one of the plugin's.
func key(order string) {
	rest := order[2:]
	ms, operands, _ := strings.Cut(rest, ":")
	name, value, _ := strings.Cut(operands, ":")
	ttl := func() kv.TTL { return kv.TTL(decimal(ms)) }
	var r kv.Result
	done := "done"
	switch order[1] {
	case 'g':
		value, ok := kv.Get(rest)
		found(order, value, ok)
		return
	case 'd':
		kv.Delete(rest)
		sdk.Debug(order)
		return
	case 'i':
		r = kv.DeleteIf(ms, operands)
	case 'p':
		r = kv.Put(name, value, ttl())
	case 'c':
		r = kv.Create(name, value, ttl())
	case 's':
		old, next, _ := strings.Cut(value, ":")
		r = kv.Swap(name, old, next, ttl())
	case 'a':
		var sum int64
		if sum, r = kv.Add(name, decimal(value), ttl()); r != kv.Done && sum != 0 {
			panic("a sum of nothing")
		}
		done = strconv.FormatInt(sum, 10)
	default:
		panic("unknown order")
	}
	item(order, map[kv.Result]string{kv.Done: done, kv.Other: "other", kv.Full: "full"}[r])
}

// compose begins a request or adds to it.
func compose(r *fetch.Request, order string) {
	if order[0] == 'f' {
		method, url, _ := strings.Cut(order[1:], " ")
		*r = fetch.Request{Method: method, URL: url}
		return
	}
	rest := order[2:]
	switch order[1] {
	case 'h':
		name, value, _ := strings.Cut(rest, ":")
		r.Headers = append(r.Headers, [2]string{name, value})
	case 'b':
		r.Body = rest
	case 's':
		r.State = rest
	}
}

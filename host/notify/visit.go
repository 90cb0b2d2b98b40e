package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/authhost/authhost/host"
)

// visit is one look at one user, by one worker.
type visit struct {
	*Teller
	box     Outbox
	userID  string
	senders map[string]Sender // by plugin
}

// make does what is to be done about the user. What fails is left to a later
// visit; the user is on a due-list.
func (v *visit) make(ctx context.Context) {
	defer func() {
		if r := recover(); r != nil { // nobody else would
			v.log(ctx, slog.LevelError, "what is to be told of a user is told later", slog.Any("error", panicked(r)))
		}
	}()
	tasks, err := v.box.Tasks(ctx, v.userID)
	if err != nil {
		v.log(ctx, slog.LevelWarn, "what is to be told of a user is not known", slog.Any("error", err))
		return
	}
	if len(tasks) == 0 {
		return
	}
	var messages []*host.Task // in the order of their ends
	for _, task := range v.answered(ctx, tasks) {
		if task.Message != nil {
			messages = append(messages, task)
		}
	}
	for _, m := range messages {
		if ctx.Err() != nil {
			return
		}
		v.deliver(ctx, m)
	}
}

// answered asks the plugins about every event, and returns the messages with
// those that they want sent.
func (v *visit) answered(ctx context.Context, tasks []*host.Task) (messages []*host.Task) {
	realm, plugins, release := v.o.Open(v.userID)
	defer release()
	v.senders = make(map[string]Sender, len(plugins))
	for _, p := range plugins {
		v.senders[p.Name] = p.Sender
	}
	for _, task := range tasks {
		switch {
		case v.tooOld(ctx, task):
		case task.Ended == nil:
			messages = append(messages, task)
		case ctx.Err() == nil && v.Wants(v.userID): // else another replica may know whom to tell
			messages = append(messages, v.ask(ctx, realm, plugins, task)...)
		}
	}
	return messages
}

// tooOld gives up what nobody took for too long.
func (v *visit) tooOld(ctx context.Context, task *host.Task) bool {
	if v.o.Now().Sub(task.Since) < giveUp {
		return false
	}
	if dropped, err := v.box.Drop(ctx, task); err != nil || !dropped {
		return true
	}
	v.log(ctx, slog.LevelError, "an end of access was not told: given up", about(task)...)
	if task.Ended != nil {
		v.o.Metrics.EndedEvent(GivenUp)
	} else {
		v.o.Metrics.EndedMessage(task.Plugin, GivenUp)
	}
	return true
}

// ask asks the plugins that were not yet asked about an event, and puts the
// messages that they want sent in its place. Of a plugin that fails, or has too
// many messages waiting, the event stays, for later.
func (v *visit) ask(ctx context.Context, realm string, plugins []Plugin, task *host.Task) []*host.Task {
	if ok, err := v.box.Claim(ctx, task, v.o.Now().Add(claim)); err != nil || !ok {
		v.failing(ctx, "an end of access cannot be taken up", task, err)
		return nil
	}
	messages, stays, err := v.answers(ctx, realm, plugins, task)
	if err != nil {
		v.failing(ctx, "an end of access is told later", task, err)
		return nil
	}
	var again time.Time
	if stays {
		wait := backoff(task.Tries)
		again = v.o.Now().Add(wait)
		v.o.Metrics.EndedEvent(Failed)
		v.nudgeIn(wait, v.userID)
	}
	ok, err := v.box.Replace(ctx, task, messages, v.o.Now().Add(claim), again)
	if err != nil || !ok {
		v.failing(ctx, "an end of access is told later", task, err)
		return nil
	}
	if !stays {
		v.o.Metrics.EndedEvent(Asked)
	}
	return messages
}

// answers returns the messages that plugins want sent of an event, and whether
// it stays for plugins that did not say. Those that did are among task.Asked.
func (v *visit) answers(ctx context.Context, realm string, plugins []Plugin, task *host.Task) (messages []*host.Task, stays bool, err error) {
	full, err := v.box.Full(ctx, v.userID)
	if err != nil {
		return nil, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, askings)
	defer cancel()
	for _, p := range plugins {
		if p.Notifier == nil || task.WasAsked(p.Name) {
			continue
		}
		if full(p.Name) {
			stays = true
			v.log(ctx, slog.LevelWarn, "a plugin is not asked about an end of access, for too many of its messages wait: see to its receiver, or take the plugin out of the realm",
				append(about(task), slog.String("plugin", p.Name))...)
			continue
		}
		within, cancel := context.WithTimeout(ctx, asking)
		wanted, err := asked(within, p.Notifier, &host.Call{Now: v.o.Now(), Realm: realm, Ended: task.Ended})
		cancel()
		if _, ok := errors.AsType[*panicError](err); ok { // of any other the plugin has told
			v.failing(ctx, "a plugin was asked about an end of access in vain", task, err)
		}
		if err != nil {
			stays = true
			continue
		}
		task.Asked = append(task.Asked, p.Name)
		for n := range wanted {
			messages = append(messages, &host.Task{Key: fmt.Sprintf("%s-%s-%d", task.Key, p.Name, n), Plugin: p.Name, Message: &wanted[n]})
		}
	}
	return messages, stays, nil
}

// deliver sends one message, unless its receiver is to be left alone for now.
func (v *visit) deliver(ctx context.Context, task *host.Task) {
	sender := v.senders[task.Plugin]
	if sender == nil {
		return // the plugin may not send, or is not there, by the configuration of this replica
	}
	r, wait := v.receivers.enter(task.Message.URL, v.o.Now())
	if r == nil {
		if v.o.Now().Before(task.Until) { // claimed when it was made
			if err := v.box.Postpone(ctx, task, v.o.Now().Add(wait)); err != nil {
				v.failing(ctx, "a message is tried later than it should be", task, err)
			}
		}
		v.nudgeIn(wait, v.userID)
		return
	}
	taken := false
	defer func() {
		if !taken { // also if that panicked
			v.receivers.unsent(r)
		}
	}()
	if v.o.Now().Add(sending).After(task.Until) { // else it was claimed when it was made
		if ok, err := v.box.Claim(ctx, task, v.o.Now().Add(claim)); err != nil || !ok {
			v.failing(ctx, "a message cannot be taken up", task, err)
			return
		}
	}
	taken = true
	within, cancel := context.WithTimeout(ctx, sending)
	defer cancel()
	got := sent(within, sender, keyed(*task.Message, task.Key))
	v.receivers.leave(r, got.Status == 0 || got.Status == 429 || got.Status >= 502 && got.Status <= 504, v.o.Now())
	if got.Status >= 200 && got.Status <= 299 {
		if _, err := v.box.Drop(ctx, task); err != nil {
			v.failing(ctx, "a message that was delivered will be sent again", task, err)
		}
		v.o.Metrics.EndedMessage(task.Plugin, Delivered)
		return
	}
	pause := backoff(task.Tries)
	v.o.Metrics.EndedMessage(task.Plugin, Failed)
	v.log(ctx, slog.LevelWarn, "a message was not delivered", append(about(task), slog.Int("status", got.Status),
		slog.String("reason", got.Failure), slog.Any("error", got.Cause), slog.Duration("again_in", pause))...)
	if err := v.box.Postpone(ctx, task, v.o.Now().Add(pause)); err != nil {
		v.failing(ctx, "a message is tried again later than it should be", task, err)
		return
	}
	v.nudgeIn(pause, v.userID)
}

// keyed is a message with the key by which its receiver knows it again, and
// nothing of the plugin's own in its place.
func keyed(m host.Fetch, key string) host.Fetch {
	headers := []host.Header{{Name: "Idempotency-Key", Value: key}}
	for _, h := range m.Headers {
		if !strings.EqualFold(h.Name, headers[0].Name) {
			headers = append(headers, h)
		}
	}
	m.Headers = headers
	return m
}

// failing says that a step was not made, unless somebody else made it.
func (v *visit) failing(ctx context.Context, text string, task *host.Task, err error) {
	if err != nil && ctx.Err() == nil {
		v.log(ctx, slog.LevelWarn, text, append(about(task), slog.Any("error", err))...)
	}
}

func (v *visit) log(ctx context.Context, level slog.Level, text string, more ...slog.Attr) {
	v.o.Logger.LogAttrs(ctx, level, text, append([]slog.Attr{slog.String("user_id", v.userID)}, more...)...)
}

// about is what is logged of a task: no URL and no text of the plugin's, in
// which a secret may stand.
func about(task *host.Task) []slog.Attr {
	list := []slog.Attr{slog.String("key", task.Key), slog.Time("since", task.Since), slog.Int("tries", task.Tries)}
	if task.Plugin != "" {
		list = append(list, slog.String("plugin", task.Plugin))
	}
	return list
}

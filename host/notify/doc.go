// Package notify tells of ends of access: it asks the plugins of a realm's
// on_logout about each, and delivers the messages that they want sent.
//
// What is to be told waits in the user's slot, see session.Outbox, and what is
// here is only a hint of where to look: a nudge when something was written on
// this replica, and another from the sweeper when something waits that nobody
// took up. So nothing is lost with a process. Each task is claimed before it is
// begun, by a change of the slot, and taken out when it is done: a message whose
// acknowledgement was lost is sent again, with the same Idempotency-Key.
//
// Receivers that do not answer hold up nobody else: few messages are under way
// to one of them at a time, and none during a pause after it failed. Every try
// that fails makes the next one wait longer; after a week a task is given up,
// loudly.
//
// It owns when and how often. What a slot holds, what a plugin says and what
// may be sent where are others' business, see the interfaces in notify.go.
package notify

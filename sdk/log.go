package sdk

import "github.com/authhost/authhost/sdk/internal/guest"

// Debug writes a line to the host's log, which adds the plugin's name.
func Debug(text string) { guest.Log(guest.LogDebug, text) }

// Info is Debug at level info.
func Info(text string) { guest.Log(guest.LogInfo, text) }

// Warn is Debug at level warn.
func Warn(text string) { guest.Log(guest.LogWarn, text) }

// Error is Debug at level error.
func Error(text string) { guest.Log(guest.LogError, text) }

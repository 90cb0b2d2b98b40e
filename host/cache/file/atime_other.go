//go:build !linux

package file

const noAccessTime = 0

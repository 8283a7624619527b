package transport

import (
	"io/fs"
	"syscall"
)

// inode returns the number by which the file system knows a file: one that was moved over another
// has the same name, and may have its size and time.
func inode(info fs.FileInfo) any {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return nil
}

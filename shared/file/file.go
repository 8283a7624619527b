// Package file replaces small files so that whoever reads them, also after a crash, finds the old
// or the new content.
package file

import (
	"errors"
	"os"
	"path/filepath"
)

// Write replaces the file called name in folder, with mode 0600. When it returns nil, the new
// content is on disk; after a crash before that, the file has its old or its new content.
func Write(folder, name string, data []byte) error {
	tmp, err := os.CreateTemp(folder, "."+name+"-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails after the rename, as it should
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(folder, name))
	}
	if err != nil {
		return err
	}
	return Sync(folder)
}

// Sync puts on disk which files folder has.
func Sync(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Read returns the content of the file called name in folder, nil when there is no such file.
func Read(folder, name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(folder, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

package audit

import (
	"errors"
	"os"
	"path/filepath"
)

// writeFile replaces folder/name so that a crash leaves the old or the new content, and the new one is
// on disk when it returns.
func writeFile(folder, name string, data []byte) error {
	tmp, err := os.CreateTemp(folder, "."+name+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails after the rename, as it should
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), filepath.Join(folder, name)); err != nil {
		return err
	}
	return syncDir(folder)
}

func syncDir(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readFile returns the content of folder/name, nil when there is no such file.
func readFile(folder, name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(folder, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

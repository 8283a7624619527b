package rig

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// directoryRoles are the roles of the Provisioning API.
var directoryRoles = []string{"admin", "prefill", "publisher"}

// DirectoryPassword returns the file with the password of a role of the Provisioning API: admin,
// prefill or publisher.
func (o Options) DirectoryPassword(role string) string {
	return filepath.Join(o.Dir, "provisioning-"+role)
}

// directoryPasswords makes the password of each role that has none yet, and returns the environment
// that names the files.
func (o Options) directoryPasswords() (env []string, err error) {
	for _, role := range directoryRoles {
		path := o.DirectoryPassword(role)
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		switch {
		case errors.Is(err, fs.ErrExist): // of an earlier start
		case err != nil:
			return nil, err
		default:
			_, err = f.WriteString(rand.Text() + "\n")
			if err = errors.Join(err, f.Close()); err != nil {
				return nil, err
			}
		}
		env = append(env, "CONTROL_CENTER_PROVISIONING_"+strings.ToUpper(role)+"_PASSWORD_FILE="+path)
	}
	return env, nil
}

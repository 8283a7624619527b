package rig

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
)

// Directory lets the control-center of an installation serve the Provisioning API, and returns
// clients of the administrator and of the publisher. The address outlives restarts.
func Directory(o *Options) (admin, publisher *client.Directory, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, nil, err
	}
	admin = &client.Directory{Base: "http://" + address, Username: "admin", Password: secret.New("of the administrator")}
	publisher = &client.Directory{Base: admin.Base, Username: "udm", Password: secret.New("of the publisher")}
	var text strings.Builder
	fmt.Fprintf(&text, "log_level = \"warn\"\n[provisioning]\nlisten = [%q]\n", address)
	for role, d := range map[string]*client.Directory{"admin": admin, "publisher": publisher} {
		file := filepath.Join(o.Dir, "password-"+role)
		fmt.Fprintf(&text, "%s_password_file = %q\n", role, file)
		if err := os.WriteFile(file, []byte(d.Password.Reveal()), 0o600); err != nil {
			return nil, nil, err
		}
	}
	o.ControlCenterConfig = filepath.Join(o.Dir, "control-center.toml")
	return admin, publisher, os.WriteFile(o.ControlCenterConfig, []byte(text.String()), 0o600)
}

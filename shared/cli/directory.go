package cli

import (
	"github.com/provisioning-platform/platform/shared/client"
)

// DirectoryTarget is the flags and environment that say where the Provisioning API is that a verb
// talks to, and as whom: a role or a subscription, with a password from a file.
type DirectoryTarget struct {
	Target
	user         string
	passwordFile string
}

// Declare adds the flags of the target. as is who asks when --user does not say it.
func (t *DirectoryTarget) Declare(f *Flags, as string) {
	f.StringVar(&t.server, "server", "", "base URL of the Provisioning API (environment: "+t.Env+", default "+t.Default+")")
	f.StringVar(&t.user, "user", "", "user name (default: "+as+")")
	f.StringVar(&t.passwordFile, "password-file", "", "file with the password of that user; asked for when left out")
	f.StringVar(&t.caFile, "ca-file", "", "PEM file with the authority of the service's certificate, when that is a private one "+
		"(environment: PROVISIONING_CA_FILE)")
}

// Client returns a client of the target, who is as when --user does not say otherwise. It asks for
// the password when no file is named.
func (t *DirectoryTarget) Client(o *IO, as string) (*client.Directory, error) {
	d := &client.Directory{Base: t.Address(o), Username: as}
	if t.user != "" {
		d.Username = t.user
	}
	trusted := client.Client{}
	if err := t.trust(o, &trusted); err != nil {
		return nil, err
	}
	d.HTTP = client.DirectoryHTTP(trusted.Roots)
	var err error
	d.Password, err = o.Password("password of "+d.Username+": ", t.passwordFile, "--password-file")
	return d, err
}

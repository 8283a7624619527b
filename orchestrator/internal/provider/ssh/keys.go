package ssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Key is a key pair as OpenSSH keeps it: Private is the text of a key file, Public one line of an
// authorized_keys file without line end.
type Key struct {
	Private []byte
	Public  string
}

// NewKey makes an Ed25519 key pair; comment is what ssh-add would show.
func NewKey(comment string) (Key, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("make key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(priv, comment)
	if err != nil {
		return Key{}, fmt.Errorf("encode key: %w", err)
	}
	line, err := ssh.NewPublicKey(pub)
	if err != nil {
		return Key{}, fmt.Errorf("encode key: %w", err)
	}
	public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line))) + " " + comment
	return Key{Private: pem.EncodeToMemory(block), Public: public}, nil
}

// KnownHosts returns the lines of a known_hosts file for a server with that public key that answers
// at the addresses (host:port) or by the aliases.
func KnownHosts(public string, names ...string) string {
	fields := strings.Fields(public)
	if len(fields) < 2 {
		return ""
	}
	var b strings.Builder
	for _, name := range names {
		if host, port, err := net.SplitHostPort(name); err == nil {
			name = "[" + host + "]:" + port
		}
		fmt.Fprintf(&b, "%s %s %s\n", name, fields[0], fields[1])
	}
	return b.String()
}

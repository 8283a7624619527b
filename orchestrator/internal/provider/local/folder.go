package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/ssh"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/naming"
)

// The user name of every local server, and where it listens.
const (
	user     = "provisioning"
	loopback = "127.0.0.1"
)

// Prefixes of folders that are no servers: not yet, and no longer.
const (
	unfinished = ".new-"
	destroyed  = ".gone-"
)

// folder is the place of one server:
//
//	server.json    who it is: written once, before anything else exists
//	process.json   the process that serves it, written by that process
//	lock           held by that process: a second one ends at once
//	ssh/           host key, the client's key, known_hosts, and a config for ssh -F
//	root/          what the server sees as its root ($PROVISIONING_ROOT)
//	log            what the process has to say
type folder string

// serverIdentity is server.json.
type serverIdentity struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Plan string `json:"plan"`
	Tag  string `json:"tag"`
	Zone string `json:"zone"`
}

// process is process.json. Started is the kernel's start time of the process (clock ticks since
// boot): with the pid it names a process once and for all until the next boot. Whether that process
// serves the folder which holds the record is for serves to say: folders are copied.
type process struct {
	PID     int    `json:"pid"`
	Port    int    `json:"port"`
	Server  string `json:"server"`
	Started uint64 `json:"started"`
}

func (p process) address() string { return loopback + ":" + strconv.Itoa(p.Port) }

// idOf gives the id of the server with that tag: the same tag cannot become two folders.
func idOf(tag string) string {
	return "local-" + id.Digest(tag)[:16]
}

func (f folder) at(name string) string { return filepath.Join(string(f), name) }

// build makes the folder of a new server. It exists whole or not at all.
func build(dir string, who serverIdentity) (folder, error) {
	tmp, err := os.MkdirTemp(dir, unfinished)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	f := folder(tmp)
	host, err := ssh.NewKey(who.ID)
	if err != nil {
		return "", err
	}
	client, err := ssh.NewKey("orchestrator@" + who.ID)
	if err != nil {
		return "", err
	}
	for _, d := range []string{"ssh", "root", "root/etc", "root/tmp"} {
		if err := os.Mkdir(f.at(d), 0o700); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(who)
	if err != nil {
		return "", err
	}
	for name, content := range map[string][]byte{
		"ssh/host_key":       host.Private,
		"ssh/host_key.pub":   []byte(host.Public + "\n"),
		"ssh/client_key":     client.Private,
		"ssh/client_key.pub": []byte(client.Public + "\n"),
		"root/etc/hostname":  []byte(who.Name + "\n"),
		"server.json":        text,
	} {
		if err := os.WriteFile(f.at(name), content, 0o600); err != nil {
			return "", err
		}
	}
	done := folder(filepath.Join(dir, who.ID))
	if err := syncFile(f.at("server.json")); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, string(done)); err != nil {
		return "", err
	}
	return done, syncFile(dir)
}

// syncFile makes a file, or the entries of a folder, survive a power cut.
func syncFile(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// identity reads who the server is; false when there is no such server.
func (f folder) identity() (who serverIdentity, ok bool, err error) {
	ok, err = readJSON(f.at("server.json"), &who)
	if err == nil && ok && who.ID != filepath.Base(string(f)) {
		return who, false, fmt.Errorf("%s belongs to another server (%s)", f.at("server.json"), who.ID)
	}
	return who, ok, err
}

// process reads which process served it last; the zero process when none did yet.
func (f folder) process() (process, error) {
	var p process
	_, err := readJSON(f.at("process.json"), &p)
	return p, err
}

// writeConnection writes the files a plain OpenSSH client needs: ssh -F DIR/ssh/config NAME.
func (f folder) writeConnection(who serverIdentity, p process) error {
	public, err := os.ReadFile(f.at("ssh/host_key.pub"))
	if err != nil {
		return err
	}
	hosts := ssh.KnownHosts(string(public), p.address(), who.ID)
	if err := writeWhole(f.at("ssh/known_hosts"), []byte(hosts)); err != nil {
		return err
	}
	alias := who.ID
	if naming.Valid(who.Name) {
		alias += " " + who.Name
	}
	config := fmt.Sprintf("Host %s\n  HostName %s\n  Port %d\n  User %s\n  IdentityFile \"%s\"\n  IdentitiesOnly yes\n"+
		"  UserKnownHostsFile \"%s\"\n  HostKeyAlias %s\n  StrictHostKeyChecking yes\n  BatchMode yes\n",
		alias, loopback, p.Port, user, literal(f.at("ssh/client_key")), literal(f.at("ssh/known_hosts")), who.ID)
	return writeWhole(f.at("ssh/config"), []byte(config))
}

// literal keeps ssh from reading a percent sign in a path as one of its tokens.
func literal(path string) string { return strings.ReplaceAll(path, "%", "%%") }

// server is what the outside gets to know.
func (f folder) server(who serverIdentity, p process) provider.Server {
	return provider.Server{ID: who.ID, Tag: who.Tag, Name: who.Name, Plan: who.Plan, Zone: who.Zone, Facts: map[string]string{
		"address": loopback, "port": strconv.Itoa(p.Port), "user": user,
	}}
}

// reach is what the owner of this machine's files needs to log in, as it is now.
func (f folder) reach() map[string]string {
	facts := map[string]string{
		"key_file":         f.at("ssh/client_key"),
		"known_hosts_file": f.at("ssh/known_hosts"),
		"root":             f.at("root"),
		"ssh_config":       f.at("ssh/config"),
	}
	if p, err := f.process(); err == nil && p.Port != 0 {
		facts["port"] = strconv.Itoa(p.Port)
	}
	return facts
}

// readJSON decodes a file; false when it does not exist.
func readJSON(name string, into any) (bool, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	return true, nil
}

// writeWhole replaces a file in one step.
func writeWhole(name string, content []byte) error {
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

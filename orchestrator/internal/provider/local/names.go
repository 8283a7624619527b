package local

import "github.com/provisioning-platform/platform/orchestrator/internal/provider"

// holder is the server that has a name, or is being made with it. What the folder says counts: one
// that somebody removed holds nothing any more.
type holder struct {
	id     string
	making bool
}

// take gives a name to a server that is about to be made, unless another one has it.
func (d *Driver) take(name, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h := d.names[name]; h.id != "" && h.id != id {
		who, there, err := d.folder(h.id).identity()
		if err != nil {
			return failed("read server "+h.id, err)
		}
		if h.making || there && who.Name == name {
			return provider.Taken(name)
		}
	}
	d.names[name] = holder{id: id, making: true}
	return nil
}

// made ends what take began.
func (d *Driver) made(name, id string, there bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if there {
		d.names[name] = holder{id: id}
	} else {
		delete(d.names, name)
	}
}

// free gives the name of a deleted server back.
func (d *Driver) free(name, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name].id == id {
		delete(d.names, name)
	}
}

package simulated

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
)

// key stands for a tag, whose server's id it says, or for a name.
type key [8]byte

func keyOf(tag string) (k key) {
	var room [64]byte // for a tag of ours
	sum := sha256.Sum256(append(room[:0], tag...))
	copy(k[:], sum[:])
	return k
}

const idPrefix = "sim-"

func (k key) id() string {
	var text [len(idPrefix) + 2*len(k)]byte
	hex.Encode(text[copy(text[:], idPrefix):], k[:])
	return string(text[:])
}

// record is a server in memory, in one piece: hundreds of thousands may stand, and the collector
// looks at each text.
type record struct {
	texts      string // tag, name, plan and zone
	name, plan int    // where they begin
	zone       int
}

func recordOf(s provider.Server) record {
	name := len(s.Tag)
	plan := name + len(s.Name)
	return record{texts: s.Tag + s.Name + s.Plan + s.Zone, name: name, plan: plan, zone: plan + len(s.Plan)}
}

func (r record) server() provider.Server {
	tag := r.texts[:r.name]
	return provider.Server{ID: keyOf(tag).id(), Tag: tag, Name: r.texts[r.name:r.plan], Plan: r.texts[r.plan:r.zone],
		Zone: r.texts[r.zone:]}
}

// server returns the server with that id; under mu.
func (d *Driver) server(id string) (provider.Server, bool) {
	var k key
	text, ours := strings.CutPrefix(id, idPrefix)
	if !ours || len(text) != hex.EncodedLen(len(k)) {
		return provider.Server{}, false
	}
	if _, err := hex.Decode(k[:], []byte(text)); err != nil {
		return provider.Server{}, false
	}
	r, ok := d.servers[k]
	if !ok {
		return provider.Server{}, false
	}
	return r.server(), true
}

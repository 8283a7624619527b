package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Head is a signed tree head: the log called Origin had Size entries with the root hash Root. Note
// is the signed text (a C2SP checkpoint), with the cosignatures it has got.
type Head struct {
	Origin string
	Size   int64
	Root   tlog.Hash
	Note   string
}

// text returns what is signed.
func (h Head) text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", h.Origin, h.Size, h.Root)
}

// same says whether both heads state the same tree.
func (h Head) same(o Head) bool { return h.Size == o.Size && h.Root == o.Root }

// signHead returns the head of the tree, signed with the log's key.
func (k *Keys) signHead(size int64, root tlog.Hash) (Head, error) {
	h := Head{Origin: k.origin, Size: size, Root: root}
	msg, err := note.Sign(&note.Note{Text: h.text()}, signer{name: k.origin, alg: algTreehead, key: k.treehead})
	h.Note = string(msg)
	return h, err
}

// cosign returns the peer's head with a cosignature of these keys added.
func (k *Keys) cosign(h Head, peer Public, now time.Time) (Head, error) {
	n, err := open(h.Note, peer.Treehead)
	if err != nil {
		return h, err
	}
	n.UnverifiedSigs = nil
	msg, err := note.Sign(n, signer{name: k.origin + "/witness", alg: algWitness, key: k.witness, now: now})
	h.Note = string(msg)
	return h, err
}

// openHead returns the head in a signed note after checking that the log with these keys signed it.
// With witness keys given, it demands a good cosignature of at least one of them.
func openHead(signed string, log Public, witnesses ...Public) (Head, error) {
	keys := []string{log.Treehead}
	for _, w := range witnesses {
		keys = append(keys, w.Witness)
	}
	n, err := open(signed, keys...)
	if err != nil {
		return Head{}, err
	}
	by := map[string]bool{}
	for _, s := range n.Sigs {
		by[s.Name] = true
	}
	if !by[log.Origin()] {
		return Head{}, errors.New("the tree head is not signed by its log")
	}
	if len(witnesses) > 0 && len(by) < 2 {
		return Head{}, errors.New("the tree head is not cosigned by a known witness")
	}
	h, err := parseHead(n.Text)
	if err != nil {
		return Head{}, err
	}
	if h.Origin != log.Origin() {
		return Head{}, fmt.Errorf("the tree head is of another log, %q", h.Origin)
	}
	h.Note = signed
	return h, nil
}

func open(signed string, keys ...string) (*note.Note, error) {
	var known []note.Verifier
	for _, k := range keys {
		v, err := newVerifier(k)
		if err != nil {
			return nil, err
		}
		known = append(known, v)
	}
	n, err := note.Open([]byte(signed), note.VerifierList(known...))
	if err != nil {
		return nil, err
	}
	// The note package decodes base64 leniently: bits that no byte is made of may differ. A head
	// has one spelling.
	for _, s := range append(n.Sigs, n.UnverifiedSigs...) {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return nil, fmt.Errorf("the signature of %s is not spelled as it was made: %w", s.Name, err)
		}
	}
	return n, nil
}

func parseHead(text string) (Head, error) {
	bad := errors.New("malformed tree head")
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[0] == "" {
		return Head{}, bad
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Head{}, bad
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Head{}, bad
	}
	return Head{Origin: lines[0], Size: size, Root: root}, nil
}

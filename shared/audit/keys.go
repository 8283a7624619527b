package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/provisioning-platform/platform/shared/file"
	"github.com/provisioning-platform/platform/shared/secret"
)

// Signature types of C2SP signed notes.
const (
	algTreehead = 0x01 // Ed25519 over the text
	algWitness  = 0x04 // cosignature/v1: a time and Ed25519 over it and the text
)

// Keys are the two private keys of one log. They sign heads and cosign the peer's, and nothing
// else.
type Keys struct {
	origin   string
	treehead ed25519.PrivateKey
	witness  ed25519.PrivateKey
}

// Public are the public halves, as C2SP verifier keys (name+hash+key). The name of Treehead is the
// origin of the log.
type Public struct {
	Treehead string `json:"treehead" doc:"verifies tree heads (C2SP note key)" example:"provisioning-platform/audit/orchestrator+4a5a9c1f+AU…"`
	Witness  string `json:"witness" doc:"verifies cosignatures (C2SP note key)" example:"provisioning-platform/audit/orchestrator/witness+4a5a9c1f+BE…"`
}

// String returns both keys, one a line; ParsePublic reads it.
func (p Public) String() string { return p.Treehead + "\n" + p.Witness + "\n" }

// Origin returns the name of the log these keys belong to.
func (p Public) Origin() string {
	name, _, _ := strings.Cut(p.Treehead, "+")
	return name
}

// ParsePublic returns the keys String printed.
func ParsePublic(s string) (Public, error) {
	f := strings.Fields(s)
	if len(f) != 2 {
		return Public{}, errors.New("audit keys: want the treehead key and the witness key, one a line")
	}
	p := Public{Treehead: f[0], Witness: f[1]}
	return p, p.check()
}

func (p Public) check() error {
	if v, err := newVerifier(p.Treehead); err != nil || v.alg != algTreehead {
		return fmt.Errorf("audit keys: %q is no treehead key", p.Treehead)
	}
	if v, err := newVerifier(p.Witness); err != nil || v.alg != algWitness {
		return fmt.Errorf("audit keys: %q is no witness key", p.Witness)
	}
	return nil
}

// Origin returns the name of a service's log in a deployment: DEPLOYMENT/audit/SERVICE.
func Origin(deployment, service string) string { return deployment + "/audit/" + service }

// MakeKeys returns the keys of the log called origin that lie in folder (DIR/keys/audit), and makes
// them there when there are none. Beside them lies "public", what Public().String() prints.
func MakeKeys(folder, origin string) (*Keys, error) {
	if origin == "" || strings.ContainsAny(origin, " \n\t+") {
		return nil, fmt.Errorf("audit origin %q: blanks and + are not allowed", origin)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	k := &Keys{origin: origin}
	var err error
	if k.treehead, err = loadOrMake(folder, treeheadFile); err != nil {
		return nil, err
	}
	if k.witness, err = loadOrMake(folder, witnessFile); err != nil {
		return nil, err
	}
	return k, file.Write(folder, "public", []byte(k.Public().String()))
}

// Public returns the public halves.
func (k *Keys) Public() Public {
	return Public{
		Treehead: verifierKey(k.origin, algTreehead, k.treehead.Public().(ed25519.PublicKey)),
		Witness:  verifierKey(k.origin+"/witness", algWitness, k.witness.Public().(ed25519.PublicKey)),
	}
}

// named returns the same keys under another origin.
func (k *Keys) named(origin string) *Keys {
	c := *k
	c.origin = origin
	return &c
}

// KeyFiles returns the paths of the secret keys that lie in folder.
func KeyFiles(folder string) []string {
	return []string{filepath.Join(folder, treeheadFile), filepath.Join(folder, witnessFile)}
}

// Names of the files with the secret keys.
const (
	treeheadFile = "treehead.pem"
	witnessFile  = "witness.pem"
)

func loadOrMake(folder, name string) (ed25519.PrivateKey, error) {
	data, err := secret.FromFile(filepath.Join(folder, name)) // which refuses what others can read
	if errors.Is(err, os.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		return key, file.Write(folder, name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(data.Reveal()))
	if block == nil {
		return nil, fmt.Errorf("audit key %s: no PEM block", name)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("audit key %s: no Ed25519 private key", name)
	}
	return key, nil
}

// signer signs a note with one key; it is a note.Signer.
type signer struct {
	name string
	alg  byte
	key  ed25519.PrivateKey
	now  time.Time // of a cosignature
}

func (s signer) Name() string { return s.name }

func (s signer) KeyHash() uint32 {
	return keyHash(s.name, s.alg, s.key.Public().(ed25519.PublicKey))
}

func (s signer) Sign(msg []byte) ([]byte, error) {
	if s.alg == algTreehead {
		return ed25519.Sign(s.key, msg), nil
	}
	sig := binary.BigEndian.AppendUint64(nil, uint64(s.now.Unix()))
	return append(sig, ed25519.Sign(s.key, cosigned(s.now.Unix(), msg))...), nil
}

// verifier checks signatures of one key; it is a note.Verifier.
type verifier struct {
	name string
	hash uint32
	alg  byte
	key  ed25519.PublicKey
}

var _ note.Verifier = verifier{}

func (v verifier) Name() string    { return v.name }
func (v verifier) KeyHash() uint32 { return v.hash }

func (v verifier) Verify(msg, sig []byte) bool {
	if v.alg == algTreehead {
		return ed25519.Verify(v.key, msg, sig)
	}
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	return ed25519.Verify(v.key, cosigned(int64(binary.BigEndian.Uint64(sig)), msg), sig[8:])
}

// cosigned is the text a witness signs (C2SP tlog-cosignature).
func cosigned(unix int64, msg []byte) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", unix), msg...)
}

func newVerifier(vkey string) (verifier, error) {
	bad := fmt.Errorf("malformed verifier key %q", vkey)
	f := strings.SplitN(vkey, "+", 3)
	if len(f) != 3 || f[0] == "" {
		return verifier{}, bad
	}
	hash, err := strconv.ParseUint(f[1], 16, 32)
	if err != nil || len(f[1]) != 8 {
		return verifier{}, bad
	}
	raw, err := base64.StdEncoding.DecodeString(f[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return verifier{}, bad
	}
	v := verifier{name: f[0], hash: uint32(hash), alg: raw[0], key: raw[1:]}
	if v.hash != keyHash(v.name, v.alg, v.key) {
		return verifier{}, bad
	}
	return v, nil
}

func verifierKey(name string, alg byte, key ed25519.PublicKey) string {
	return fmt.Sprintf("%s+%08x+%s", name, keyHash(name, alg, key), base64.StdEncoding.EncodeToString(append([]byte{alg}, key...)))
}

func keyHash(name string, alg byte, key ed25519.PublicKey) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write([]byte{alg})
	h.Write(key)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

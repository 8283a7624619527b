// Package tokentest holds the forgeries that no verifier may accept, as data: bar rows A01 to A11
// and A13. It owns no verifier and no expectation but one: every Attack must be refused. It works
// black-box from one valid token, so the same table runs against the package and against both
// services.
package tokentest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash"
	"strings"
)

// Attack is one forgery. Names start with the bar row.
type Attack struct {
	Name  string
	Token string
}

// table collects attacks on one valid token.
type table struct {
	attacks              []Attack
	valid                string
	head, body, sig      string // as they stand
	kid, typ             string
	header, payload, raw []byte // decoded; raw is the signature
}

func (t *table) add(row, name, token string) {
	if token != t.valid {
		t.attacks = append(t.attacks, Attack{Name: row + " " + name, Token: token})
	}
}

// Attacks returns the forgeries that a stranger can make who holds one valid token and the
// published key.
func Attacks(valid string, pub ed25519.PublicKey) []Attack {
	t := open(valid)
	t.none()
	t.confusion(pub)
	t.keyIDs()
	t.headers()
	t.spelling()
	t.sizes()
	t.signatures()
	return t.attacks
}

// Forge returns the token over payload with the given encoded header, signed by key.
func Forge(header string, payload []byte, key ed25519.PrivateKey) string {
	text := header + "." + enc(payload)
	return text + "." + enc(ed25519.Sign(key, []byte(text)))
}

func open(valid string) *table {
	parts := strings.Split(valid, ".")
	t := &table{valid: valid, head: parts[0], body: parts[1], sig: parts[2], header: dec(parts[0]), payload: dec(parts[1]),
		raw: dec(parts[2])}
	var h struct{ Kid, Typ string }
	_ = json.Unmarshal(t.header, &h)
	t.kid, t.typ = h.Kid, h.Typ
	return t
}

// head64 is a header with the given raw JSON members for alg and kid, and more behind.
func (t *table) head64(alg, kid, more string) string {
	return enc([]byte(`{"alg":` + alg + `,"kid":` + kid + `,"typ":` + quote(t.typ) + more + `}`))
}

func (t *table) none() {
	for _, alg := range []string{`"none"`, `"None"`, `"NONE"`, `"nOnE"`, `""`, `null`, `["EdDSA"]`, `{}`, `0`, `true`} {
		h := t.head64(alg, quote(t.kid), "")
		t.add("A01", "alg "+alg+" unsigned", h+"."+t.body+".")
		t.add("A01", "alg "+alg+" signed", h+"."+t.body+"."+t.sig)
	}
	h := enc([]byte(`{"kid":` + quote(t.kid) + `,"typ":` + quote(t.typ) + `}`))
	t.add("A01", "alg missing unsigned", h+"."+t.body+".")
	t.add("A01", "alg missing signed", h+"."+t.body+"."+t.sig)
}

func (t *table) confusion(pub ed25519.PublicKey) {
	der, _ := x509.MarshalPKIXPublicKey(pub)
	secrets := map[string][]byte{"raw": pub, "base64url": []byte(enc(pub)), "base64": []byte(base64.StdEncoding.EncodeToString(pub)),
		"der": der, "pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"jwk": []byte(`{"crv":"Ed25519","kty":"OKP","x":"` + enc(pub) + `"}`), "empty": {}, "kid": []byte(t.kid)}
	for alg, f := range map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New} {
		for name, secret := range secrets {
			text := t.head64(quote(alg), quote(t.kid), "") + "." + t.body
			mac := hmac.New(f, secret)
			mac.Write([]byte(text))
			t.add("A02", alg+" with the public key as "+name, text+"."+enc(mac.Sum(nil)))
		}
	}
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	for alg, sign := range map[string]func(text []byte) []byte{
		"RS256": func(b []byte) []byte {
			d := sha256.Sum256(b)
			s, _ := rsa.SignPKCS1v15(nil, rsaKey, crypto.SHA256, d[:])
			return s
		},
		"PS256": func(b []byte) []byte {
			d := sha256.Sum256(b)
			s, _ := rsa.SignPSS(rand.Reader, rsaKey, crypto.SHA256, d[:], nil)
			return s
		},
		"ES256": func(b []byte) []byte {
			d := sha256.Sum256(b)
			r, s, _ := ecdsa.Sign(rand.Reader, ecKey, d[:])
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		},
		"EdDSA": func(b []byte) []byte { return ed25519.Sign(edKey, b) },
		"eddsa": func(b []byte) []byte { return ed25519.Sign(edKey, b) },
		"Ed448": func(b []byte) []byte { return ed25519.Sign(edKey, b) },
	} {
		text := t.head64(quote(alg), quote(t.kid), "") + "." + t.body
		t.add("A02", alg+" with the attacker's key under our kid", text+"."+enc(sign([]byte(text))))
	}
	own := edKey.Public().(ed25519.PublicKey)
	jwk := `{"kty":"OKP","crv":"Ed25519","x":"` + enc(own) + `"}`
	for name, more := range map[string]string{"jwk": `,"jwk":` + jwk, "jku": `,"jku":"http://127.0.0.1:1/jwks"`, "x5u": `,"x5u":"http://127.0.0.1:1/c"`,
		"x5c": `,"x5c":["MIIB"]`} {
		t.add("A04", name, Forge(t.head64(`"EdDSA"`, quote(t.kid), more), t.payload, edKey))
	}
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + enc(own) + `"}`))
	t.add("A04", "the attacker's own kid", Forge(t.head64(`"EdDSA"`, quote(enc(sum[:16])), ""), t.payload, edKey))
}

func (t *table) keyIDs() {
	for _, kid := range []string{`"../../../../dev/null"`, `"/etc/passwd"`, `"' OR '1'='1"`, `"\"; DROP"`, `"a\r\nSet-Cookie: x"`, `"aaaaaaaa\u0000"`,
		`"http://127.0.0.1:1/key"`, `"file:///etc/passwd"`, quote(strings.Repeat("A", 64<<10)), quote(strings.Repeat("A", 8<<10)), `0`, `["` + t.kid + `"]`,
		`{}`, `null`, `true`, `""`, `"*"`, `"` + t.kid + ` "`, quote(strings.ToLower(t.kid) + "x"), quote(t.kid[:len(t.kid)-1])} {
		name := kid
		if len(name) > 40 {
			name = fmt.Sprint(len(kid), " bytes")
		}
		t.add("A03", "kid "+name, t.head64(`"EdDSA"`, kid, "")+"."+t.body+"."+t.sig)
	}
	t.add("A03", "kid twice", t.head64(`"EdDSA"`, quote(t.kid), `,"kid":`+quote(t.kid))+"."+t.body+"."+t.sig)
	t.add("A03", "kid missing", enc([]byte(`{"alg":"EdDSA","typ":`+quote(t.typ)+`}`))+"."+t.body+"."+t.sig)
}

func (t *table) headers() {
	for _, more := range []string{`"crit":["exp"]`, `"crit":[]`, `"crit":["b64"],"b64":false`, `"b64":true`, `"zip":"DEF"`, `"cty":"JWT"`, `"foo":1`,
		`"alg":"EdDSA"`, `"ALG":"none"`} {
		t.add("A05", more, t.head64(`"EdDSA"`, quote(t.kid), ","+more)+"."+t.body+"."+t.sig)
	}
}

func (t *table) spelling() {
	for _, part := range []struct {
		name string
		at   int
	}{{"header", 0}, {"payload", 1}, {"signature", 2}} {
		with := func(f func(string) string) string {
			p := []string{t.head, t.body, t.sig}
			p[part.at] = f(p[part.at])
			return strings.Join(p, ".")
		}
		for name, f := range map[string]func(string) string{
			"padded": func(s string) string { return s + "=" }, "padded twice": func(s string) string { return s + "==" },
			"blank behind":           func(s string) string { return s + " " },
			"line break inside":      func(s string) string { return s[:4] + "\n" + s[4:] },
			"carriage return inside": func(s string) string { return s[:4] + "\r" + s[4:] },
			"NUL behind":             func(s string) string { return s + "\x00" },
			"one character more":     func(s string) string { return s + "A" }, "one less": func(s string) string { return s[:len(s)-1] },
			"empty": func(string) string { return "" }, "full-width": func(s string) string { return s[:1] + "Ａ" + s[2:] },
			"percent": func(s string) string { return "%" + fmt.Sprintf("%02x", s[0]) + s[1:] },
		} {
			t.add("A10", part.name+" "+name, with(f))
		}
		for _, bit := range []int{1, 2, 4, 8, 16, 32} { // those below the last byte are ignored by lax decoders
			t.add("A10", fmt.Sprintf("%s last character with bit %d turned", part.name, bit), with(func(s string) string {
				return s[:len(s)-1] + turn(s[len(s)-1], bit)
			}))
		}
		if std := strings.NewReplacer("-", "+", "_", "/").Replace([]string{t.head, t.body, t.sig}[part.at]); true {
			t.add("A10", part.name+" in the standard alphabet", with(func(string) string { return std }))
		}
	}
	t.add("A10", "blank in front", " "+t.valid)
	t.add("A10", "BOM in front", "\ufeff"+t.valid)
	t.add("A10", "BOM in the payload", t.head+"."+enc(append([]byte("\ufeff"), t.payload...))+"."+t.sig)
	t.add("A10", "tab behind", t.valid+"\t")
	t.add("A10", "quoted", `"`+t.valid+`"`)
	t.add("A10", "two parts", t.head+"."+t.body)
	t.add("A10", "four parts", t.valid+"."+t.sig)
	t.add("A10", "five parts", t.head+"..."+t.body+"."+t.sig)
	t.add("A10", "dot behind", t.valid+".")
	t.add("A10", "dot in front", "."+t.valid)
	t.add("A10", "two tokens", t.valid+","+t.valid)
	t.add("A10", "JSON serialization", `{"protected":"`+t.head+`","payload":"`+t.body+`","signature":"`+t.sig+`"}`)
	t.add("A10", "parts exchanged", t.body+"."+t.head+"."+t.sig)
	t.add("A10", "empty", "")
	for name, edit := range map[string][2]string{"role": {`"viewer"`, `"admin"`}, "role back": {`"admin"`, `"viewer"`}, "expiry": {`"exp":1`, `"exp":2`}, "subject": {`"sub":"`, `"sub":"0`}} {
		t.add("A10", "payload edited: "+name, t.head+"."+enc([]byte(strings.Replace(string(t.payload), edit[0], edit[1], 1)))+"."+t.sig)
	}
}

func (t *table) sizes() {
	t.add("A11", "100,000 dots", strings.Repeat(".", 100_000))
	t.add("A11", "1 MiB", strings.Repeat("A", 1<<20))
	t.add("A11", "1 MiB payload", t.head+"."+strings.Repeat("A", 1<<20)+"."+t.sig)
	t.add("A11", "deep nesting", enc([]byte(strings.Repeat("[", 6000)))+"."+t.body+"."+t.sig)
}

func (t *table) signatures() {
	for n := range len(t.raw) {
		t.add("A13", fmt.Sprint("signature cut to ", n), t.head+"."+t.body+"."+enc(t.raw[:n]))
	}
	t.add("A13", "signature of zeros", t.head+"."+t.body+"."+enc(make([]byte, 64)))
	t.add("A13", "signature twice", t.head+"."+t.body+"."+enc(append(append([]byte{}, t.raw...), t.raw...)))
}

// turn returns base64url character c with bits of its value turned.
func turn(c byte, bits int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^bits])
}

func enc(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func dec(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		panic("tokentest: not a valid token to start from: " + err.Error())
	}
	return b
}

func quote(s string) string { b, _ := json.Marshal(s); return string(b) }

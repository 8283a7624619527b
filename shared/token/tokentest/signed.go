package tokentest

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strings"
)

// Signed returns wrong tokens that carry a good signature: what a fault in an issuer, a token of
// another kind or a token for somebody else looks like (A05 to A10). valid must be an access token
// that key signed and that lists both services in aud; the reader of the result is one of them, and
// now is within its life.
func Signed(valid string, key ed25519.PrivateKey) []Attack {
	t := open(valid)
	var c map[string]any
	if err := json.Unmarshal(t.payload, &c); err != nil {
		panic("tokentest: not a valid token to start from: " + err.Error())
	}
	iat := int64(c["iat"].(float64))
	// set replaces one member by raw JSON; empty removes it.
	set := func(row, name, raw string) {
		rest := map[string]any{}
		for k, v := range c {
			if k != name {
				rest[k] = v
			}
		}
		for k, v := range rest { // JSON would print large floats with an exponent
			if f, ok := v.(float64); ok {
				rest[k] = int64(f)
			}
		}
		b, _ := json.Marshal(rest)
		if raw != "" {
			b = []byte(strings.TrimSuffix(string(b), "}") + `,"` + name + `":` + raw + `}`)
		}
		if len(raw) > 60 {
			raw = raw[:60]
		}
		t.add(row, name+" = "+raw, Forge(t.head, b, key))
	}
	for _, name := range []string{"iss", "sub", "aud", "jti", "sid", "iat", "nbf", "exp", "auth_time", "av", "acr", "amr"} {
		for _, raw := range []string{"", "null", "{}", "[]", "true", `""`, "[[]]", "-1"} {
			set("A07", name, raw)
		}
	}
	for _, name := range []string{"exp", "iat", "nbf", "auth_time", "av"} {
		for _, raw := range []string{fmt.Sprintf(`"%d"`, iat+60), fmt.Sprintf("%d.0", iat), fmt.Sprintf("%d.5", iat), "1e10", "-1e1", "99999999999999999999",
			"9223372036854775807", `"NaN"`, "NaN", "Infinity", "[1]"} {
			set("A07", name, raw)
		}
	}
	set("A07", "exp", "0")
	set("A07", "exp", fmt.Sprint(iat-1))
	set("A07", "exp", fmt.Sprint(iat+24*3600+1))
	for _, name := range []string{"iat", "nbf"} {
		set("A07", name, fmt.Sprint(iat+10*365*24*3600))
	}
	for _, aud := range []string{`["other"]`, `[]`, `""`, `"orchestrator"`, `"control-center"`, `["Orchestrator","Control-Center"]`, `["orchestrator ","control-center "]`,
		`["orchestrator/","control-center/"]`, `["orchestrato","control-cente"]`, `[["orchestrator","control-center"]]`, `["orchestrator","control-center",1]`,
		`["orchestrator","control-center",["x"]]`, `["orchestrator","control-center","orchestrator"]`, `{"0":"orchestrator"}`, `["*"]`} {
		set("A08", "aud", aud)
	}
	iss := c["iss"].(string)
	for _, other := range []string{iss + "/", " " + iss, strings.ToUpper(iss), iss + "0", iss[:len(iss)-1], "https://idp.example",
		"provisioning-platform:"} {
		set("A09", "iss", quote(other))
	}
	set("A09", "iss", `[`+quote(iss)+`]`)
	for _, typ := range []string{"JWT", "svc+jwt", "AT+JWT", "at+jwt ", "application/at+jwt", "logout+jwt", "rt+jwt", "id", ""} {
		head := enc([]byte(`{"alg":"EdDSA","kid":` + quote(t.kid) + `,"typ":` + quote(typ) + `}`))
		t.add("A06", "typ "+typ, Forge(head, t.payload, key))
	}
	for _, more := range []string{`"crit":["exp"]`, `"b64":false`, `"zip":"DEF"`, `"cty":"JWT"`, `"jku":"http://127.0.0.1:1/"`, `"alg":"EdDSA"`, `"x":1`, `"kid":` + quote(t.kid)} {
		t.add("A05", "signed header with "+more, Forge(t.head64(`"EdDSA"`, quote(t.kid), ","+more), t.payload, key))
	}
	for _, alg := range []string{`"none"`, `"HS256"`, `"eddsa"`, `"RS256"`, `null`, `""`} {
		t.add("A02", "signed header with alg "+alg, Forge(t.head64(alg, quote(t.kid), ""), t.payload, key))
	}
	inside := strings.TrimSuffix(strings.TrimPrefix(string(t.payload), "{"), "}")
	for name, payload := range map[string]string{
		"claim twice": `{` + inside + `,"sub":"admin"}`, "claim twice, escaped": `{` + inside + `,"\u0073ub":"admin"}`, "the same twice": `{` + inside + `,"exp":` + fmt.Sprint(iat+60) + `}`,
		"duplicate inside an unknown claim": `{` + inside + `,"x":{"a":1,"a":2}}`, "trailing brace": `{` + inside + `}}`, "two objects": `{` + inside + `}{}`,
		"list": `[{` + inside + `}]`, "text": `"x"`, "null": `null`, "empty": ``, "BOM": "\ufeff{" + inside + `}`, "invalid UTF-8": `{` + inside + ",\"x\":\"\xff\"}",
		"trailing comma": `{` + inside + `,}`, "comment": `{` + inside + `/**/}`, "NUL": `{` + inside + "}\x00", "deep": `{` + inside + `,"x":` + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + `}`,
	} {
		t.add("A10", "signed payload: "+name, Forge(t.head, []byte(payload), key))
	}
	return t.attacks
}

package webhook

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// The vector that the published Standard Webhooks libraries are tested with.
const (
	vectorSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime      = 1614265330
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func TestSign_isThePublishedVector(t *testing.T) {
	t.Parallel()
	if got := Sign(vectorSecret, vectorID, time.Unix(vectorTime, 0), []byte(vectorBody)); got != vectorSignature {
		t.Errorf("%s, want %s", got, vectorSignature)
	}
}

// TestVerify_refusesEveryChangedByte is E10: one byte changed in id, timestamp, signature or body
// is refused.
func TestVerify_refusesEveryChangedByte(t *testing.T) {
	t.Parallel()
	now := time.Unix(vectorTime, 0)
	secrets := []string{"another secret", vectorSecret}
	headers := func() http.Header {
		h := http.Header{}
		h.Set(HeaderID, vectorID)
		h.Set(HeaderTimestamp, strconv.Itoa(vectorTime))
		h.Set(HeaderSignature, "v1,AAAA v1a,x "+vectorSignature)
		return h
	}
	if err := Verify(secrets, headers(), []byte(vectorBody), now); err != nil {
		t.Fatal(err)
	}
	if err := Verify(secrets[:1], headers(), []byte(vectorBody), now); !errors.Is(err, ErrSignature) {
		t.Errorf("another secret: %v", err)
	}
	for i := range vectorBody {
		b := []byte(vectorBody)
		b[i] ^= 1
		if err := Verify(secrets, headers(), b, now); !errors.Is(err, ErrSignature) {
			t.Errorf("byte %d of the body: %v", i, err)
		}
	}
	for _, name := range []string{HeaderID, HeaderTimestamp, HeaderSignature} {
		value := headers().Get(name)
		for i := range value {
			if name == HeaderSignature && i < len("v1,AAAA v1a,x ") {
				continue // the two before it verify nothing anyway
			}
			b, h := []byte(value), headers()
			b[i] ^= 1
			h.Set(name, string(b))
			if err := Verify(secrets, h, []byte(vectorBody), now); err == nil {
				t.Errorf("byte %d of %s changed unnoticed", i, name)
			}
		}
		h := headers()
		h.Del(name)
		if err := Verify(secrets, h, []byte(vectorBody), now); !errors.Is(err, ErrHeaders) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	for _, off := range []time.Duration{-tolerance - time.Second, tolerance + time.Second} {
		if err := Verify(secrets, headers(), []byte(vectorBody), now.Add(off)); !errors.Is(err, ErrStale) {
			t.Errorf("%v later: %v", off, err)
		}
	}
}

// TestSignBody_isCutOffWithoutParsing is the rule of I20: the tail has a fixed length, and the
// payload is what is left.
func TestSignBody_isCutOffWithoutParsing(t *testing.T) {
	t.Parallel()
	m := Message{Event: "task.completed", At: time.Unix(vectorTime, 0), Data: []byte(`{"output":"größer ‰ 日本 \u2028","status":"completed"}`)}
	payload := []byte(m.payload())
	body := SignBody("webhook-secret", payload)
	if want := `{"event":"task.completed","timestamp":"2021-02-25T15:02:10.000000Z","data":{`; !bytes.HasPrefix(body, []byte(want)) {
		t.Errorf("%s", body)
	}
	const tail = len(`,"signature":"sha256="}`) + 64
	if cut := append(bytes.Clone(body[:len(body)-tail]), '}'); !bytes.Equal(cut, payload) {
		t.Errorf("cut: %s", cut)
	}
	if err := VerifyBody([]string{"old", "webhook-secret"}, body); err != nil {
		t.Error(err)
	}
	if err := VerifyBody([]string{"old"}, body); !errors.Is(err, ErrSignature) {
		t.Errorf("another secret: %v", err)
	}
	for i := range body {
		bad := bytes.Clone(body)
		bad[i] ^= 1
		if err := VerifyBody([]string{"webhook-secret"}, bad); err == nil {
			t.Errorf("byte %d changed unnoticed", i)
		}
		if err := VerifyBody([]string{"webhook-secret"}, body[:i]); err == nil {
			t.Errorf("cut to %d bytes unnoticed", i)
		}
	}
	if got := dataOf(string(payload)); !bytes.Equal(got, m.Data) {
		t.Errorf("data %s", got)
	}
}

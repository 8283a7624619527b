package rigtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// times finds the texts of an answer that are times, and wireTime says which are of the one form
// (decision 47).
var (
	times    = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^" \\]*\\?"`) // also in a text that is JSON, where quotes are escaped
	wireTime = regexp.MustCompile(`^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\\?"$`)
)

// CheckTimes fails the test when a message has a time in another form than that of the wire.
func CheckTimes(t *testing.T, what string, message []byte) {
	t.Helper()
	for _, at := range times.FindAll(message, -1) {
		if !wireTime.Match(at) {
			t.Errorf("%s: the time %s has not six digits and Z", what, at)
		}
	}
}

// Answer is a response, read to its end.
type Answer struct {
	Status int
	Header http.Header
	Raw    []byte
}

// Send sends one request and follows no redirect. The body is sent as it is when it is text or
// bytes, as JSON otherwise. Header lines are "Name: value"; one with an empty value removes the
// header, and Host goes where net/http keeps it. A request without an answer fails the test, and so
// does one whose answer has a time in another form than the wire's.
func Send(t *testing.T, method, url, token string, body any, header ...string) Answer {
	t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	case []byte:
		in = bytes.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, in)
	if err != nil {
		t.Fatal(err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case name == "Host":
			req.Host = value
		case value == "":
			req.Header.Del(name)
		default:
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: the answer breaks off: %v", method, url, err)
	}
	if resp.StatusCode < 300 && strings.HasSuffix(resp.Header.Get("Content-Type"), "json") {
		CheckTimes(t, method+" "+url, raw)
	}
	checkDeclared(t, req, resp.StatusCode)
	return Answer{resp.StatusCode, resp.Header, raw}
}

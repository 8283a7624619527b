package trace

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"unicode"

	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/secret"
)

// Collector are [traces] of a configuration (decision 65).
type Collector struct {
	Endpoint    string      `toml:"endpoint"`     // where OTLP over HTTP goes, such as https://collector:4318; empty: no traces
	HeadersFile config.Path `toml:"headers_file"` // "Name: value" a line, sent with every request
	Sample      float64     `toml:"sample"`       // share of the traces that begin here which is recorded, 0 to 1
}

// Default returns the settings of a program that was told nothing: no traces.
func Default() Collector { return Collector{Sample: 1} }

// Check notes what Open would refuse.
func (s Collector) Check(problems *config.Problems) {
	if !(s.Sample >= 0 && s.Sample <= 1) {
		problems.Add("traces.sample must be 0 to 1, not %v", s.Sample)
	}
	if s.Endpoint == "" {
		if s.HeadersFile != "" {
			problems.Add("traces.headers_file needs traces.endpoint, the collector that the headers are for")
		}
		return
	}
	u, err := url.Parse(s.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		problems.Add("traces.endpoint is no address such as https://collector:4318")
		return
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		problems.Add("traces.endpoint must hold no user, password or query; what the collector asks for belongs into traces.headers_file")
	case s.HeadersFile != "" && u.Scheme == "http" && !loopback(u.Hostname()):
		problems.Add("traces.endpoint must begin with https:// when traces.headers_file is set: anybody on the way could read the headers")
	}
	if _, err := s.headers(); err != nil {
		problems.AddError(err)
	}
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// url returns the address that spans are posted to: an endpoint without a path has the standard
// one.
func (s Collector) url() string {
	if u, err := url.Parse(s.Endpoint); err == nil && strings.Trim(u.Path, "/") == "" {
		return strings.TrimRight(s.Endpoint, "/") + "/v1/traces"
	}
	return s.Endpoint
}

// headers reads the file of headers. Its errors name lines and never show what stands there.
func (s Collector) headers() (map[string]string, error) {
	headers := map[string]string{}
	if s.HeadersFile == "" {
		return headers, nil
	}
	text, err := secret.FromFile(string(s.HeadersFile))
	if err != nil {
		return nil, fmt.Errorf("traces.headers_file: %w", err)
	}
	for i, line := range strings.Split(text.Reveal(), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || name == "" || value == "" || strings.ContainsFunc(name, notOfName) || strings.ContainsFunc(value, unicode.IsControl) {
			return nil, fmt.Errorf("traces.headers_file: line %d of %s is no header such as \"Authorization: Bearer …\"", i+1,
				s.HeadersFile)
		}
		headers[name] = value
	}
	return headers, nil
}

// notOfName says whether a character cannot stand in the name of a header.
func notOfName(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
}

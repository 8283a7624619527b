package provisioning

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// timestamp is the ts of a message as it goes out: a time without a zone keeps none, UTC is +00:00,
// and there are six digits of fraction or none (contract 1.4).
type timestamp string

// wall is the form of a time with neither zone nor fraction.
const wall = "2006-01-02T15:04:05"

// isoTime is a date, perhaps with a time, a fraction and a zone.
var isoTime = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?\s*([Zz]|[+-]\d{2}:?\d{2})?$`)

// UnmarshalJSON takes ISO 8601 with T or a space, with or without a zone, a date alone, and seconds
// or milliseconds since 1970 as a number or a text.
func (t *timestamp) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if len(raw) > 0 && raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
	}
	out, err := parseTimestamp(text)
	*t = timestamp(out)
	return err
}

func parseTimestamp(text string) (string, error) {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return fromEpoch(n)
	}
	m := isoTime.FindStringSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("no time: %q", text)
	}
	date, clock, seconds, fraction, zone := m[1], m[2], m[3], m[4], m[5]
	if clock == "" {
		clock = "00:00"
	}
	if seconds == "" {
		seconds = "00"
	}
	at, err := time.Parse(wall, date+"T"+clock+":"+seconds)
	if err != nil {
		return "", err
	}
	out := at.Format(wall)
	if fraction = (fraction + "000000")[:6]; fraction != "000000" {
		out += "." + fraction
	}
	switch zone {
	case "":
	case "Z", "z":
		out += "+00:00"
	default:
		digits := strings.ReplaceAll(zone, ":", "")
		out += digits[:3] + ":" + digits[3:]
	}
	return out, nil
}

// Numbers above this are milliseconds: as seconds they would be later than the year 2603.
const maxSeconds = 2e10

func fromEpoch(n float64) (string, error) {
	if n != n || n < -maxSeconds || n > maxSeconds*1000 {
		return "", fmt.Errorf("no time: %v", n)
	}
	at := time.UnixMicro(int64(n * 1e6))
	if n > maxSeconds {
		at = time.UnixMicro(int64(n * 1e3))
	}
	at = at.UTC()
	if at.Nanosecond() == 0 {
		return at.Format(wall) + "+00:00", nil
	}
	return at.Format(wall+".000000") + "+00:00", nil
}

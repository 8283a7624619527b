// Package instant says how times look (decision 47): written in one width, read in every form of
// RFC 3339 and ISO 8601. It owns no clock. The one rule a caller must know: what a person wrote
// names a span of time, "2025-09-26" a day and "10:00:00" a second; a lower bound takes its first
// moment, an upper bound its last.
package instant

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Layout is the form of every time on the wire, in UTC: six digits of a second and Z. Texts of it
// sort as the times do.
const Layout = "2006-01-02T15:04:05.000000Z"

// Format returns t as it goes on the wire.
func Format(t time.Time) string { return t.UTC().Format(Layout) }

// Append appends t as it goes on the wire.
func Append(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, Layout) }

// Span is the time that a text names, both ends included and in UTC. The zero Span is none.
type Span struct{ First, Last time.Time }

// UnmarshalText reads a span as Parse does.
func (s *Span) UnmarshalText(text []byte) (err error) {
	*s, err = Parse(string(text))
	return err
}

// forms are the ways to write a time. The "+" of an offset that nobody escaped in an address
// arrives as a blank.
var forms = regexp.MustCompile(`^(?P<year>\d{4})` +
	`(?:-?(?P<month>\d\d)-?(?P<day>\d\d)|-(?P<month>\d\d)|-?[Ww](?P<week>\d\d)(?:-?(?P<weekday>\d))?|-?(?P<yearday>\d{3}))?` +
	`(?:[Tt ](?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d))?)?(?:[.,](?P<fraction>\d+))?` +
	`(?:[Zz]|(?P<sign>[+\- ])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)?)?$`)

// Parse reads a time: a date by month, week or day of the year, alone or with a time of day to any
// digit, in the extended or the basic format, in either case, with an offset or else in UTC. Its
// error is a text for people.
func Parse(text string) (Span, error) {
	p := parts{}
	if found := forms.FindStringSubmatch(text); found != nil {
		for i, name := range forms.SubexpNames() {
			if found[i] != "" {
				p[name] = found[i]
			}
		}
	}
	first, next, good := p.date()
	if p["hour"] != "" {
		good = good && next.Sub(first) == day
		var clock bool
		first, next, clock = p.clock(first)
		good = good && clock
	}
	if !good || first.Year() < 0 || next.Add(-1).Year() > 9999 {
		return Span{}, fmt.Errorf("%.40q is no time; write 2025-09-26, 2025-09-26T10:00:00Z or with an offset", text)
	}
	return Span{First: first, Last: next.Add(-1)}, nil
}

const day = 24 * time.Hour

// parts are the pieces of a text by their names in forms.
type parts map[string]string

// number returns a piece, or low when it is left out.
func (p parts) number(name string, low, high int, good *bool) int {
	if p[name] == "" {
		return low
	}
	n, err := strconv.Atoi(p[name])
	*good = *good && err == nil && low <= n && n <= high
	return n
}

// date returns the first moment of the day, week, month or year, and the one after its last.
func (p parts) date() (first, next time.Time, good bool) {
	good = p["year"] != ""
	year, month := p.number("year", 0, 9999, &good), p.number("month", 1, 12, &good)
	first = time.Date(year, time.Month(month), 1, 0, 0, 0, 0, time.UTC)
	switch {
	case p["week"] != "": // the first week has the fourth of January in it
		fourth := time.Date(year, time.January, 4, 0, 0, 0, 0, time.UTC)
		monday := fourth.AddDate(0, 0, -(int(fourth.Weekday())+6)%7)
		first = monday.AddDate(0, 0, 7*(p.number("week", 1, 53, &good)-1)+p.number("weekday", 1, 7, &good)-1)
		of, _ := first.ISOWeek()
		if p["weekday"] == "" {
			return first, first.AddDate(0, 0, 7), good && of == year
		}
		return first, first.Add(day), good && of == year
	case p["yearday"] != "":
		first = first.AddDate(0, 0, p.number("yearday", 1, 366, &good)-1)
		return first, first.Add(day), good && first.Year() == year
	case p["day"] != "":
		first = first.AddDate(0, 0, p.number("day", 1, 31, &good)-1)
		return first, first.Add(day), good && first.Month() == time.Month(month)
	case p["month"] != "":
		return first, first.AddDate(0, 1, 0), good
	}
	return first, first.AddDate(1, 0, 0), good
}

// clock returns the first moment of the hour, minute, second or less on a day, and the one after
// its last.
func (p parts) clock(midnight time.Time) (first, next time.Time, good bool) {
	good = true
	first = midnight.Add(time.Duration(p.number("hour", 0, 24, &good))*time.Hour +
		time.Duration(p.number("minute", 0, 59, &good))*time.Minute +
		time.Duration(p.number("second", 0, 60, &good))*time.Second) // 60 is a leap second
	unit := time.Hour
	switch {
	case p["second"] != "":
		unit = time.Second
	case p["minute"] != "":
		unit = time.Minute
	}
	for _, digit := range p["fraction"] {
		if unit < 10 {
			break // less than a nanosecond
		}
		unit /= 10
		first = first.Add(time.Duration(digit-'0') * unit)
	}
	good = good && (p["hour"] != "24" || first.Sub(midnight) == day) // 24:00 is the midnight that ends the day
	east := time.Duration(p.number("hours", 0, 23, &good))*time.Hour + time.Duration(p.number("minutes", 0, 59, &good))*time.Minute
	if p["sign"] == "-" {
		east = -east
	}
	first = first.Add(-east)
	return first, first.Add(unit), good
}

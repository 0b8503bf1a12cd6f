package workflow

import (
	"cmp"
	"fmt"
	"time"

	datepb "google.golang.org/genproto/googleapis/type/date"
)

// Date is a day in UTC, such as an exchange date. The zero Date means that
// none is given. Dates are comparable with ==.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf returns the day in UTC on which t falls.
func DateOf(t time.Time) Date {
	year, month, day := t.UTC().Date()
	return Date{year, month, day}
}

// ParseDate reads YYYY-MM-DD, the form in which dates stand in blob keys and
// resource names. Nothing else is accepted.
func ParseDate(text string) (Date, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 1 {
		return Date{}, fmt.Errorf("%q is not a date such as 2024-01-31", text)
	}
	return DateOf(t), nil
}

// DateFromProto converts a google.type.Date. A nil or zero message gives the
// zero Date; a message that is no day of the calendar is an error.
func DateFromProto(message *datepb.Date) (Date, error) {
	d := Date{int(message.GetYear()), time.Month(message.GetMonth()), int(message.GetDay())}
	if d != (Date{}) && !d.IsValid() {
		return Date{}, fmt.Errorf("year %d month %d day %d is no day of the calendar", d.Year, int(d.Month), d.Day)
	}
	return d, nil
}

// Proto returns d as a google.type.Date, nil for the zero Date.
func (d Date) Proto() *datepb.Date {
	if d.IsZero() {
		return nil
	}
	return &datepb.Date{Year: int32(d.Year), Month: int32(d.Month), Day: int32(d.Day)}
}

// IsZero reports whether no date is given.
func (d Date) IsZero() bool { return d == Date{} }

// IsValid reports whether d is a day of the calendar in the years 1 to 9999.
func (d Date) IsValid() bool {
	return d.Year >= 1 && d.Year <= 9999 && d.Month >= 1 && d.Month <= 12 && d.Day >= 1 && d.Day <= daysIn(d.Year, d.Month)
}

// String returns YYYY-MM-DD.
func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, int(d.Month), d.Day) }

// MarshalText writes the text of String, for JSON output.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDate reads.
func (d *Date) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDate(string(text))
	return err
}

// Time returns the instant at which d begins in UTC, when an exchange of that
// date may start.
func (d Date) Time() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

// Compare returns -1, 0 or +1 as d is before, equal to or after e.
func (d Date) Compare(e Date) int {
	return cmp.Or(cmp.Compare(d.Year, e.Year), cmp.Compare(d.Month, e.Month), cmp.Compare(d.Day, e.Day))
}

// Before reports whether d is before e.
func (d Date) Before(e Date) bool { return d.Compare(e) < 0 }

// After reports whether d is after e.
func (d Date) After(e Date) bool { return d.Compare(e) > 0 }

// AddDays returns the day n days later, or earlier if n is negative.
func (d Date) AddDays(n int) Date { return DateOf(d.Time().AddDate(0, 0, n)) }

// addMonths moves by whole months and clamps to the end of the month: January
// 31 plus one month is February 28 or 29.
func (d Date) addMonths(n int) Date {
	months := d.Year*12 + int(d.Month) - 1 + n
	year, month := months/12, time.Month(months%12+1)
	return Date{year, month, min(d.Day, daysIn(year, month))}
}

// daysSince returns the number of days from e to d.
func (d Date) daysSince(e Date) int { return int((d.Time().Unix() - e.Time().Unix()) / (24 * 60 * 60)) }

func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

package workflow

import "iter"

// Schedule says how often an exchange takes place. It is the cron expression
// of the wire, of which only four are legal; others are kept as they are and
// reported by Lint.
type Schedule string

// The legal schedules.
const (
	Daily   Schedule = "@daily"
	Weekly  Schedule = "@weekly"
	Monthly Schedule = "@monthly"
	Yearly  Schedule = "@yearly"
)

// Schedules lists the legal schedules, the most frequent first.
func Schedules() []Schedule { return []Schedule{Daily, Weekly, Monthly, Yearly} }

// IsValid reports whether s is one of the legal schedules.
func (s Schedule) IsValid() bool {
	return s == Daily || s == Weekly || s == Monthly || s == Yearly
}

// Next returns the date one period after d, clamped to the end of the month:
// January 31 is followed by February 28, and that by March 28. This is how a
// Kingdom walks from exchange to exchange. An illegal schedule gives the zero
// Date.
func (s Schedule) Next(d Date) Date { return s.step(d, 1) }

// Previous returns the date one period before d, clamped to the end of the
// month. This is where the reference looks for the exchange before; after
// clamping it is not the inverse of Next (see Workflow.PreviousDate). An
// illegal schedule gives the zero Date.
func (s Schedule) Previous(d Date) Date { return s.step(d, -1) }

func (s Schedule) step(d Date, n int) Date {
	switch s {
	case Daily:
		return d.AddDays(n)
	case Weekly:
		return d.AddDays(7 * n)
	case Monthly:
		return d.addMonths(n)
	case Yearly:
		return d.addMonths(12 * n)
	}
	return Date{}
}

// Dates yields the dates of an exchange that starts on first, oldest first,
// from the date from (or first, if that is later) through the date through,
// both included. It yields nothing if the schedule or first is not legal.
// The work before the first result is bounded whatever the dates are.
func (s Schedule) Dates(first, from, through Date) iter.Seq[Date] {
	return func(yield func(Date) bool) {
		if !s.IsValid() || !first.IsValid() {
			return
		}
		d := s.skip(first, from)
		for ; d.IsValid() && !d.After(through); d = s.Next(d) {
			if !d.Before(from) && !yield(d) {
				return
			}
		}
	}
}

// skip jumps close to from without passing it, where that takes no clamping into account.
func (s Schedule) skip(first, from Date) Date {
	period := map[Schedule]int{Daily: 1, Weekly: 7}[s]
	if period == 0 || !from.IsValid() || !from.After(first) {
		return first
	}
	return first.AddDays(from.daysSince(first) / period * period)
}

// Has reports whether d is a date of an exchange that starts on first.
func (s Schedule) Has(first, d Date) bool {
	for date := range s.Dates(first, d, d) {
		return date == d
	}
	return false
}

// Dates yields the workflow's exchange dates from one date through another,
// both included, oldest first; none before FirstExchangeDate.
func (w *Workflow) Dates(from, through Date) iter.Seq[Date] {
	return w.Schedule.Dates(w.FirstExchangeDate, from, through)
}

// PreviousDate returns the exchange date before d: the latest date of the
// sequence that Next makes which is before d. It is false on the first date,
// and before it.
//
// It differs from Schedule.Previous only after a month's end was clamped: an
// exchange that starts on January 31 has its second date on February 28, whose
// previous date is January 31, where the reference computes January 28.
func (w *Workflow) PreviousDate(d Date) (Date, bool) {
	if !w.Schedule.IsValid() || !w.FirstExchangeDate.IsValid() || !d.IsValid() || !d.After(w.FirstExchangeDate) {
		return Date{}, false
	}
	previous := w.Schedule.skip(w.FirstExchangeDate, d.AddDays(-1))
	for next := w.Schedule.Next(previous); next.Before(d); next = w.Schedule.Next(next) {
		previous = next
	}
	return previous, true
}

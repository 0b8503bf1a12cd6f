package workflow_test

import (
	"slices"
	"testing"
	"time"

	datepb "google.golang.org/genproto/googleapis/type/date"

	"github.com/panelmatch/panelmatch/engine/workflow"
)

func date(t *testing.T, text string) workflow.Date {
	t.Helper()
	d, err := workflow.ParseDate(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestScheduleArithmeticClampsToTheEndOfTheMonth(t *testing.T) {
	for _, tc := range []struct {
		schedule             workflow.Schedule
		on, next, beforeThat string
	}{
		{workflow.Daily, "2024-02-28", "2024-02-29", "2024-02-27"},
		{workflow.Daily, "2024-12-31", "2025-01-01", "2024-12-30"},
		{workflow.Weekly, "2024-02-26", "2024-03-04", "2024-02-19"},
		{workflow.Monthly, "2023-01-31", "2023-02-28", "2022-12-31"},
		{workflow.Monthly, "2024-03-31", "2024-04-30", "2024-02-29"},
		{workflow.Monthly, "2024-12-15", "2025-01-15", "2024-11-15"},
		{workflow.Yearly, "2024-02-29", "2025-02-28", "2023-02-28"},
	} {
		on := date(t, tc.on)
		if got := tc.schedule.Next(on).String(); got != tc.next {
			t.Errorf("%s after %s: %s, want %s", tc.schedule, tc.on, got, tc.next)
		}
		if got := tc.schedule.Previous(on).String(); got != tc.beforeThat {
			t.Errorf("%s before %s: %s, want %s", tc.schedule, tc.on, got, tc.beforeThat)
		}
	}
}

func TestDatesStartAtTheFirstExchange(t *testing.T) {
	for _, tc := range []struct {
		schedule             workflow.Schedule
		first, from, through string
		want                 []string
	}{
		{workflow.Daily, "2024-01-30", "2024-01-01", "2024-02-01", []string{"2024-01-30", "2024-01-31", "2024-02-01"}},
		{workflow.Daily, "2000-01-01", "2024-02-28", "2024-03-01", []string{"2024-02-28", "2024-02-29", "2024-03-01"}},
		{workflow.Weekly, "2024-01-01", "2024-01-09", "2024-01-22", []string{"2024-01-15", "2024-01-22"}},
		{workflow.Weekly, "0001-01-01", "9999-12-25", "9999-12-31", []string{"9999-12-27"}},
		{workflow.Monthly, "2023-01-31", "2023-01-01", "2023-04-30", []string{"2023-01-31", "2023-02-28", "2023-03-28", "2023-04-28"}},
		{workflow.Yearly, "2024-02-29", "2025-01-01", "2026-12-31", []string{"2025-02-28", "2026-02-28"}},
		{workflow.Daily, "2030-01-01", "2024-01-01", "2024-02-01", nil},
		{"@hourly", "2024-01-01", "2024-01-01", "2024-02-01", nil},
	} {
		var got []string
		for d := range tc.schedule.Dates(date(t, tc.first), date(t, tc.from), date(t, tc.through)) {
			got = append(got, d.String())
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s from %s: %v, want %v", tc.schedule, tc.first, got, tc.want)
		}
	}
}

func TestHasTellsExchangeDatesFromOthers(t *testing.T) {
	first := date(t, "2024-01-01")
	if !workflow.Weekly.Has(first, date(t, "2024-01-15")) || workflow.Weekly.Has(first, date(t, "2024-01-16")) ||
		workflow.Weekly.Has(first, date(t, "2023-12-25")) {
		t.Error("weekly from 2024-01-01 has the wrong dates")
	}
}

// The previous date is the inverse of walking forward, also where a month's end was clamped.
func TestPreviousDateWalksBackTheWayThatNextCame(t *testing.T) {
	for _, schedule := range workflow.Schedules() {
		for _, first := range []string{"2023-01-31", "2024-02-29", "2024-01-01", "2024-08-31"} {
			w := &workflow.Workflow{FirstExchangeDate: date(t, first), Schedule: schedule}
			if _, ok := w.PreviousDate(w.FirstExchangeDate); ok {
				t.Errorf("%s from %s: the first date has a previous one", schedule, first)
			}
			before := w.FirstExchangeDate
			for range 40 {
				next := schedule.Next(before)
				if got, ok := w.PreviousDate(next); !ok || got != before {
					t.Fatalf("%s from %s: before %s comes %s, want %s", schedule, first, next, got, before)
				}
				before = next
			}
		}
	}
}

func TestDates(t *testing.T) {
	for _, bad := range []string{"", "2024-1-1", "2024-02-30", "24-01-01", "2024-01-01T00:00:00Z", "0000-01-01", "2024/01/01"} {
		if _, err := workflow.ParseDate(bad); err == nil {
			t.Errorf("%q was taken for a date", bad)
		}
	}
	for _, bad := range []*datepb.Date{{Year: 2024}, {Year: 2024, Month: 2, Day: 30}, {Year: 10000, Month: 1, Day: 1}, {Year: -1, Month: 1, Day: 1}} {
		if _, err := workflow.DateFromProto(bad); err == nil {
			t.Errorf("%v was taken for a date", bad)
		}
	}
	d := date(t, "2024-02-29")
	if again, err := workflow.DateFromProto(d.Proto()); err != nil || again != d {
		t.Errorf("%s came back as %s (%v)", d, again, err)
	}
	if zero, err := workflow.DateFromProto(nil); err != nil || !zero.IsZero() || zero.Proto() != nil {
		t.Errorf("no date became %s (%v)", zero, err)
	}
	// A day begins at midnight UTC whatever the zone of the clock.
	late := time.Date(2024, 3, 1, 0, 30, 0, 0, time.FixedZone("ahead", 3600))
	if workflow.DateOf(late) != d || !d.Time().Equal(time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)) {
		t.Error("dates are not in UTC")
	}
}

//! Times on the command line: in how long, or when.

use std::time::{Duration, SystemTime};

use crate::keys::file::{OUT_OF_RANGE, is_writable, moment_of};

/// The longest time that is meant; whoever means longer writes a date.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// A duration from now, as `90d`, or a date: `2027-02-21`, or with a time and an offset.
pub(super) fn moment(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    if let Ok(date) = format!("{text}T00:00:00Z").parse().or_else(|_| text.parse()) {
        return moment_of(&date).map_err(|fault| match fault.help {
            Some(help) => format!("{}; {help}", fault.message),
            None => fault.message,
        });
    }
    let moment = now.checked_add(span(text).map_err(|_| EXPECTED.to_owned())?);
    moment.filter(|moment| is_writable(*moment)).ok_or_else(|| OUT_OF_RANGE.to_owned())
}

const EXPECTED: &str = "expected a duration from now, as in 90d, or a date, as in 2027-02-21";

/// How long something goes on.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).ok().filter(|span| *span <= LONGEST);
    span.ok_or_else(|| "expected a duration, as in 7d or 12h".to_owned())
}

/// How long ago something was, in its largest unit.
pub(super) fn ago(moment: SystemTime, now: SystemTime) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let seconds = now.duration_since(moment).unwrap_or_default().as_secs();
    let unit = UNITS.iter().find(|(unit, _)| seconds >= *unit);
    unit.map_or(format!("{seconds}s"), |(unit, name)| format!("{}{name}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::file::written_moment;

    #[test]
    fn a_moment_is_a_date_or_so_far_away() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        for (text, expected) in [
            ("90d", "1970-04-01T00:16:40Z"),
            ("1h 30m", "1970-01-01T01:46:40Z"),
            ("2027-02-21", "2027-02-21T00:00:00Z"),
            ("2027-02-21T01:00:00+01:00", "2027-02-21T00:00:00Z"),
            ("2027-02-21 10:00:00Z", "2027-02-21T10:00:00Z"),
        ] {
            assert_eq!(moment(text, now).map(written_moment).as_deref(), Ok(expected), "{text}");
        }
        for text in
            ["", "90", "-1d", "200y", "2027-02-30", "2027-02-21T00:00:00", "1960-01-01", "x"]
        {
            assert!(moment(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn an_age_is_in_its_largest_unit() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (seconds, expected) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (86_400, "1d")]
        {
            assert_eq!(ago(at(5), at(5 + seconds)), expected);
        }
        assert_eq!(ago(at(5), at(0)), "0s", "a clock may go wrong");
    }
}

//! Dates of a keys file: TOML's date-times with an offset, as moments and back.

use std::time::{Duration, SystemTime};

use toml::value::{Datetime, Offset, Time};

use crate::config::problem::Fault;

/// The moment that a date-time means.
pub fn moment(written: &Datetime) -> Result<SystemTime, Fault> {
    let (Some(date), Some(time)) = (written.date, written.time) else {
        return Err(Fault::new("a date needs a time and an offset").help(EXAMPLE));
    };
    let Some(offset) = written.offset else {
        return Err(Fault::new(
            "a date and time without an offset means another moment everywhere",
        )
        .help("with `Z` behind it is UTC, and with `+01:00` an hour ahead of it"));
    };
    let time = Time { second: time.second.or(Some(0)), ..time };
    let utc = humantime::parse_rfc3339_weak(&format!("{date}T{time}")).ok();
    let moment = utc.and_then(|utc| match offset {
        Offset::Z => Some(utc),
        Offset::Custom { minutes: minutes @ ..0 } => utc.checked_add(span(minutes)),
        Offset::Custom { minutes } => utc.checked_sub(span(minutes)),
    });
    moment.filter(|moment| is_writable(*moment)).ok_or_else(|| Fault::new(OUT_OF_RANGE))
}

fn span(minutes: i16) -> Duration {
    Duration::from_secs(u64::from(minutes.unsigned_abs()) * 60)
}

/// What is said of a moment that cannot be written.
pub const OUT_OF_RANGE: &str = "a date is between the years 1970 and 9999";

/// Whether a moment has a year of four digits, and is none before the epoch.
pub fn is_writable(moment: SystemTime) -> bool {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH);
    since.is_ok_and(|since| since < YEAR_10000)
}

/// From the epoch to the year 10000.
const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);

/// How a date is written.
pub(super) const EXAMPLE: &str = "as in 2027-02-21T00:00:00Z";

/// A moment as it is written in a keys file, where it [is writable](is_writable).
pub fn written(moment: SystemTime) -> String {
    humantime::format_rfc3339(moment).to_string()
}

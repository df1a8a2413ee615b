//! A record as it is written in a keys file.

use std::time::Duration;

use super::written_moment;
use crate::keys::record::{Limits, Record};
use crate::limit::rate::Rate;

/// The lines of a record, from `[[key]]` to its last field.
pub fn write(record: &Record) -> String {
    let mut out = "[[key]]\n".to_owned();
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            out.push_str(&format!("{name} = {value}\n"));
        }
    };
    field("id", Some(string(record.id.get_ref())));
    field("consumer", record.consumer.as_deref().map(string));
    field("hash", Some(string(&record.hash.get_ref().written())));
    field("created", record.created.map(written_moment));
    field("not_before", record.not_before.map(written_moment));
    field("expires", record.expires.map(written_moment));
    let previous = record.previous.as_ref().map(|previous| {
        let (hash, until) = (previous.hash.get_ref().written(), written_moment(previous.until));
        format!("{{ hash = {}, until = {until} }}", string(&hash))
    });
    field("previous", previous);
    field("disabled", record.disabled.then(|| "true".to_owned()));
    let locations = record.locations.as_ref();
    field("locations", locations.map(|names| list(names.iter().map(|name| &**name.get_ref()))));
    let methods = record.methods.as_ref();
    field("methods", methods.map(|methods| list(methods.iter().map(|method| method.as_str()))));
    let networks = record.allow_ips.as_ref();
    field("allow_ips", networks.map(|networks| list(networks.iter().map(ToString::to_string))));
    field("limits", limits(&record.limits));
    out
}

fn limits(limits: &Limits) -> Option<String> {
    let mut fields = Vec::new();
    for (name, windows) in [("rate", &limits.rate), ("requests", &limits.requests)] {
        match &windows[..] {
            [] => {}
            [one] => fields.push(format!("{name} = {}", string(&rate(one)))),
            several => fields.push(format!("{name} = {}", list(several.iter().map(rate)))),
        }
    }
    fields.extend(limits.concurrency.map(|number| format!("concurrency = {number}")));
    (!fields.is_empty()).then(|| format!("{{ {} }}", fields.join(", ")))
}

/// A rate as people write it: `1d`, not `1day`.
fn rate(rate: &Rate) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = rate.window.as_secs();
    let unit = UNITS.iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let window = match (rate.window == Duration::from_secs(seconds), unit) {
        (true, Some((unit, name))) => format!("{}{name}", seconds / unit),
        _ => humantime::format_duration(rate.window).to_string(),
    };
    format!("{}/{window}", rate.count)
}

fn list(items: impl Iterator<Item = impl AsRef<str>>) -> String {
    let items: Vec<_> = items.map(|item| string(item.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

/// A string on one line.
pub(in crate::keys) fn string(text: &str) -> String {
    // JSON's escapes are TOML's, except that TOML wants one character more escaped.
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

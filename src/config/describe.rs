//! From serde's messages, which quote values, to sentences that hold no key.

use super::mask;
use super::problem::Fault;
use super::suggest;

/// Turns an error of one field into a fault without a place. Unless `show`, whatever the message
/// quotes is left out, since it may be a key.
pub(super) fn describe(message: &str, show: bool) -> Fault {
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let (name, known) = split_names(rest);
        return unknown_field(name, &known);
    }
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        return unknown_variant(rest, show);
    }
    if let Some(name) = message.strip_prefix("missing field `") {
        return Fault::new(format!("`{}` is missing", name.trim_end_matches('`')));
    }
    let found =
        ["invalid type: ", "invalid value: "].iter().find_map(|start| message.strip_prefix(start));
    if let Some((found, expected)) = found.and_then(|rest| rest.rsplit_once(", expected ")) {
        return Fault::new(format!("expected {}, found {}", expectation(expected), sort(found)));
    }
    if show { Fault::new(message) } else { Fault::new(without_quotes(message)) }
}

/// What is said of a field that is none of those known; its name may be a key.
pub(crate) fn unknown_field(name: &str, known: &[&str]) -> Fault {
    let meant = suggest::closest(name, known.iter().copied());
    let shown = if mask::is_plain_name(name) || meant.is_some() { name } else { mask::MASK };
    let help = suggest::help(name, known, "there are no fields here");
    Fault::new(format!("unknown field `{shown}`")).help(help)
}

fn unknown_variant(rest: &str, show: bool) -> Fault {
    let (name, known) = split_names(rest);
    let shown = if show && !mask::looks_like_key(name) { name } else { mask::MASK };
    Fault::new(format!("unknown value `{shown}`")).help(suggest::help(name, &known, ""))
}

/// Splits "x`, expected one of `a`, `b`" into the name and what was expected. The names that were
/// expected are ours, so the last separator is the true one.
fn split_names(rest: &str) -> (&str, Vec<&str>) {
    let Some((name, expected)) = rest.rsplit_once("`, expected ") else {
        return (rest.split('`').next().unwrap_or_default(), Vec::new());
    };
    (name, expected.split('`').skip(1).step_by(2).collect())
}

/// What serde found, without the value.
fn sort(found: &str) -> &'static str {
    const SORTS: &[(&str, &str)] = &[
        ("boolean", "a boolean"),
        ("integer", "an integer"),
        ("floating point", "a number"),
        ("string", "a string"),
        ("sequence", "a list"),
        ("map", "a table"),
        ("unit", "nothing"),
    ];
    SORTS.iter().find(|(start, _)| found.starts_with(start)).map_or("another type", |(_, s)| s)
}

/// What serde expected, in the words of a configuration.
fn expectation(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list",
        "a map" => "a table",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    }
}

/// Cuts from the first quotation mark to the last: a quoted key may hold quotation marks itself.
pub(super) fn without_quotes(message: &str) -> String {
    let quotes = ['"', '`', '\''];
    match (message.find(quotes), message.rfind(quotes)) {
        (Some(first), Some(last)) => {
            format!("{}{}{}", &message[..first], mask::MASK, &message[last + 1..])
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, expected: &str, help: Option<&str>) {
        let fault = describe(message, false);
        assert_eq!(fault.message, expected);
        assert_eq!(fault.help.as_deref(), help);
    }

    #[test]
    fn a_value_is_never_repeated() {
        check(
            "invalid type: string \"SECRET, expected x\", expected a sequence",
            "expected a list, found a string",
            None,
        );
        check(
            "invalid value: integer `-5`, expected u32",
            "expected a whole number, found an integer",
            None,
        );
        check("bad `SECRET\"` here", "bad *** here", None);
        check("it's \"SE'CRET\" here", "it*** here", None);
        check(
            "unknown variant `SECRET`, expected `a` or `b`",
            "unknown value `***`",
            Some("expected one of `a`, `b`"),
        );
    }

    #[test]
    fn an_unknown_field_is_named_when_its_name_is_no_key() {
        check(
            "unknown field `kyes`, expected one of `keys`, `x`",
            "unknown field `kyes`",
            Some("did you mean `keys`?"),
        );
        check(
            "unknown field `Sk4f9a8b7c`, expected `keys`",
            "unknown field `***`",
            Some("expected one of `keys`"),
        );
    }
}

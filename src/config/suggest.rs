//! "Did you mean": the known name that a wrong one is closest to.

/// The name among `known` that was most likely meant by `written`.
pub fn closest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = plain(written);
    known
        .into_iter()
        .map(|name| (distance(&written, &plain(name)), name))
        .filter(|(distance, name)| *distance <= allowance(&written, name))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// "did you mean" with the closest name, or the list of what there is.
pub(crate) fn help(written: &str, known: &[&str], none: &str) -> String {
    match closest(written, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => none.to_owned(),
        None => format!("expected one of {}", list(known)),
    }
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// How many letters differ; an abbreviation is as good as one wrong letter.
fn distance(written: &str, name: &str) -> usize {
    match written.len() >= 3 && name.starts_with(written) {
        true => usize::from(name != written),
        false => strsim::damerau_levenshtein(written, name),
    }
}

/// How many letters may differ: one in three, but two in a short name, since one slip of the
/// finger is often two edits.
fn allowance(written: &str, name: &str) -> usize {
    (written.len().max(name.len()) / 3).clamp(1, 6)
}

fn plain(name: &str) -> String {
    name.chars()
        .take(MAX_NAME)
        .map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() })
        .collect()
}

/// The comparison is quadratic, and no known name is near this long.
const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: Option<&str>) {
        let known = ["header", "keys", "keys_file", "hide_credentials", "key-auth"];
        assert_eq!(closest(written, known), expected);
    }

    #[test]
    fn the_closest_name_is_meant() {
        check("kyes", Some("keys"));
        check("hide-credentials", Some("hide_credentials"));
        check("hide_credential", Some("hide_credentials"));
        check("Header", Some("header"));
        check("keyauht", Some("key-auth"));
        check("hide", Some("hide_credentials"));
        check("zzz", None);
        check("", None);
    }
}

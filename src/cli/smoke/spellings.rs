//! Other spellings of a guarded path, each of which some server takes for it.

/// The spellings, each with the name of its probe.
pub(super) fn of(path: &str) -> Vec<(&'static str, String)> {
    let rest = &path[1..];
    let letter = path.char_indices().find(|(_, c)| c.is_ascii_alphabetic());
    let escaped = |mark: &str| {
        let (at, letter) = letter?;
        Some(format!("{}{mark}{:02x}{}", &path[..at], u32::from(letter), &path[at + 1..]))
    };
    let backslashes = path.replace('/', "\\");
    let spellings = [
        ("a slash twice", Some(format!("/{path}"))),
        ("a dot segment", Some(format!("/.{path}"))),
        ("a dot segment, encoded", Some(format!("/%2e{path}"))),
        ("up again", Some(format!("/x/..{path}"))),
        ("up again, encoded", Some(format!("/x/%2e%2e{path}"))),
        ("up again, the slash encoded", Some(format!("/x%2f..{path}"))),
        ("up again with a parameter", Some(format!("/x/..;a{path}"))),
        ("up again with backslashes", Some(format!("/x\\..{backslashes}"))),
        ("a backslash", Some(format!("/\\{rest}"))),
        ("a parameter before", Some(format!("/;a{path}"))),
        ("a parameter behind", Some(format!("{path};a"))),
        ("an encoded slash behind", Some(format!("{path}%2f"))),
        ("a dot behind", Some(format!("{path}."))),
        ("a blank behind", Some(format!("{path}%20"))),
        ("a NUL behind", Some(format!("{path}%00"))),
        ("a fragment", Some(format!("{path}#a"))),
        ("a letter encoded", escaped("%")),
        ("a letter encoded twice", escaped("%25")),
        (
            "letters in the other case",
            Some(super::probe::flipped(path)).filter(|other| other != path),
        ),
    ];
    spellings.into_iter().filter_map(|(name, path)| Some((name, path?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spelling_is_another_than_the_path_itself() {
        for (path, count) in [("/", 16), ("/1", 16), ("/a", 19), ("/api/v1/X", 19)] {
            let spellings = of(path);
            assert_eq!(spellings.len(), count, "{spellings:?}");
            for (number, (_, spelling)) in spellings.iter().enumerate() {
                assert!(spelling != path && spelling.starts_with('/'), "{spelling}");
                assert!(spellings[..number].iter().all(|(_, other)| other != spelling));
            }
        }
    }
}

//! Whether a command printed what its README says.

/// Stands in a README for what differs from run to run: alone on a line for any number of lines,
/// inside a line for any characters.
const ANY: &str = "…";

/// Whether the output is as described; blanks at the ends of lines do not count.
pub(super) fn is_as_described(description: &str, output: &str) -> bool {
    lines_match(&lines(description), &lines(output))
}

fn lines(text: &str) -> Vec<&str> {
    text.trim_end().lines().map(str::trim_end).collect()
}

fn lines_match(description: &[&str], output: &[&str]) -> bool {
    match description {
        [] => output.is_empty(),
        [first, rest @ ..] if *first == ANY => {
            (0..=output.len()).any(|skipped| lines_match(rest, &output[skipped..]))
        }
        [first, rest @ ..] => match output {
            [line, below @ ..] => line_matches(first, line) && lines_match(rest, below),
            [] => false,
        },
    }
}

fn line_matches(description: &str, line: &str) -> bool {
    let Some((start, rest)) = description.split_once(ANY) else { return description == line };
    let Some(line) = line.strip_prefix(start) else { return false };
    let places = line.char_indices().map(|(place, _)| place).chain([line.len()]);
    places.into_iter().any(|place| line_matches(rest, &line[place..]))
}

#[track_caller]
fn check(description: &str, output: &str, expected: bool) {
    assert_eq!(is_as_described(description, output), expected, "{description:?} {output:?}");
}

#[test]
fn without_an_ellipsis_every_character_counts() {
    check("a\nb", "a\nb\n", true);
    check("a\nb", "a", false);
    check("a", "a\nb", false);
    check("a", "ab", false);
    check("", "a", false);
    check("a\n\nb", "a \n\nb", true);
}

#[test]
fn an_ellipsis_in_a_line_stands_for_any_characters() {
    check("curl/…", "curl/8.1", true);
    check("id: …, to: …!", "id: 7, to: 你!", true);
    check("id: …!", "id: 7", false);
    check("a…b", "ab", true);
    check("a…b", "a\nb", false);
}

#[test]
fn an_ellipsis_alone_stands_for_any_lines() {
    check("a\n…", "a\nb\nc", true);
    check("a\n…\nd", "a\nd", true);
    check("…\nd", "a\nb", false);
    check("…", "", true);
}

//! What of a README is to be run, and what it should print.

/// A command block of a README.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Fenced as `sh serves PLACE…`: runs in a terminal of its own, and listens there. A place is
    /// an address, or one with a path (`127.0.0.1:80/v1`) for what listens before it knows its
    /// paths.
    Server { command: String, places: Vec<String> },
    /// Fenced as `sh`: runs to its end; a block `text` that follows is what it prints.
    Command { command: String, prints: Option<String> },
}

impl Block {
    /// What a reader pastes.
    pub(super) fn command(&self) -> &str {
        match self {
            Self::Server { command, .. } | Self::Command { command, .. } => command,
        }
    }
}

/// The blocks in order. A block fenced as `sh no-run` needs what no test has, such as a domain.
#[track_caller]
pub(super) fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (fence, text) in fenced(markdown) {
        let words: Vec<&str> = fence.split_whitespace().collect();
        match words.as_slice() {
            ["sh"] => blocks.push(Block::Command { command: text, prints: None }),
            ["sh", "no-run"] => {}
            ["sh", "serves", places @ ..] if !places.is_empty() => {
                let places = places.iter().map(ToString::to_string).collect();
                blocks.push(Block::Server { command: text, places });
            }
            ["text"] => match blocks.last_mut() {
                Some(Block::Command { prints: prints @ None, .. }) => *prints = Some(text),
                _ => panic!("this output follows no command:\n{text}"),
            },
            _ => panic!("a block that is neither run nor compared: {fence:?}"),
        }
    }
    blocks
}

/// Every fenced block: what stands behind the fence, and the lines inside.
#[track_caller]
pub(crate) fn fenced(markdown: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        if let Some(fence) = line.strip_prefix("```") {
            let mut text = String::new();
            loop {
                match lines.next() {
                    Some("```") => break,
                    Some(line) => text.extend([line, "\n"]),
                    None => panic!("this block does not end: {fence:?}"),
                }
            }
            found.push((fence.to_owned(), text));
        }
    }
    found
}

#[test]
fn blocks_are_read_in_order_with_what_they_print() {
    let markdown = "# T\n```sh serves a:1 b:2/c\nserve\n```\n\n```sh\necho 1\necho 2\n```\nso:\n\
                    ```text\n1\n2\n```\n```sh no-run\nsudo\n```\n```sh\ntrue\n```\n";
    let expected = [
        Block::Server { command: "serve\n".into(), places: vec!["a:1".into(), "b:2/c".into()] },
        Block::Command { command: "echo 1\necho 2\n".into(), prints: Some("1\n2\n".into()) },
        Block::Command { command: "true\n".into(), prints: None },
    ];
    assert_eq!(blocks(markdown), expected);
}

#[test]
#[should_panic(expected = "neither run nor compared")]
fn a_block_of_another_language_is_no_way_around_the_test() {
    blocks("```console\n$ true\n```\n");
}

#[test]
#[should_panic(expected = "follows no command")]
fn output_without_a_command_is_refused() {
    blocks("```text\nhello\n```\n");
}

#[test]
#[should_panic(expected = "does not end")]
fn a_block_that_does_not_end_is_refused() {
    blocks("```sh\ntrue\n");
}

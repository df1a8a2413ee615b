//! `.env`: lines of the form `NAME=value`, as a shell reads them.
//!
//! It is read here and not by a library because keys stand in it: every buffer that one passes
//! through is wiped.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

/// What a file says, and the numbers of the lines that say nothing.
pub(super) struct Dotenv {
    pub(super) variables: BTreeMap<String, Zeroizing<String>>,
    pub(super) wrong: Vec<usize>,
}

/// Reads a whole file. `outer` are variables that win over those of the file.
pub(super) fn read(text: &str, outer: &BTreeMap<String, Zeroizing<String>>) -> Dotenv {
    let mut reader = Reader { text, rest: text, outer, variables: BTreeMap::new() };
    let mut wrong = Vec::new();
    loop {
        reader.skip(char::is_whitespace);
        if reader.rest.is_empty() {
            return Dotenv { variables: reader.variables, wrong };
        }
        let line = reader.line();
        if reader.next_if('#') {
            reader.skip(|c| c != '\n');
        } else if reader.variable().is_none() {
            wrong.push(line);
            reader.skip(|c| c != '\n');
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    rest: &'t str,
    outer: &'t BTreeMap<String, Zeroizing<String>>,
    variables: BTreeMap<String, Zeroizing<String>>,
}

impl<'t> Reader<'t> {
    /// The number of the line that comes next, from 1.
    fn line(&self) -> usize {
        let read = &self.text[..self.text.len() - self.rest.len()];
        read.bytes().filter(|&byte| byte == b'\n').count() + 1
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn next_if(&mut self, wanted: char) -> bool {
        let found = self.rest.starts_with(wanted);
        if found {
            self.next();
        }
        found
    }

    /// Takes what is so, up to what is not.
    fn skip(&mut self, is_so: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !is_so(c)).unwrap_or(self.rest.len());
        let (skipped, rest) = self.rest.split_at(end);
        self.rest = rest;
        skipped
    }

    fn variable(&mut self) -> Option<()> {
        let mut name = self.name()?;
        if name == "export" && !self.rest.starts_with('=') {
            name = self.name()?;
        }
        if !self.next_if('=') {
            return None;
        }
        self.skip(is_blank);
        let value = self.value()?;
        self.variables.insert(name.to_owned(), value);
        Some(())
    }

    /// A name, and the blanks behind it.
    fn name(&mut self) -> Option<&'t str> {
        let name = self.skip(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        self.skip(is_blank);
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_').then_some(name)
    }

    /// A value up to the end of its line, in which quoted parts may hold more lines.
    fn value(&mut self) -> Option<Zeroizing<String>> {
        let mut value = Value::new(self.rest.len());
        // A comment stands behind a blank; here there may have been one.
        let mut blank = true;
        loop {
            match self.rest.chars().next() {
                None | Some('\n') => return Some(value.0),
                Some('#') if blank => {
                    self.skip(|c| c != '\n');
                }
                Some(c) if is_blank(c) => {
                    blank = true;
                    self.skip(is_blank);
                    // Nothing but a comment may follow.
                    if !matches!(self.rest.chars().next(), None | Some('\n' | '#')) {
                        return None;
                    }
                }
                Some(_) => {
                    blank = false;
                    self.part(&mut value)?;
                }
            }
        }
    }

    /// A quoted part of a value, or one character that is not quoted.
    fn part(&mut self, value: &mut Value) -> Option<()> {
        match self.next()? {
            '\'' => {
                value.push(self.skip(|c| c != '\''));
                self.next_if('\'').then_some(())
            }
            '"' => {
                while !self.next_if('"') {
                    let c = self.next()?;
                    self.character(c, value)?;
                }
                Some(())
            }
            c => self.character(c, value),
        }
    }

    fn character(&mut self, c: char, value: &mut Value) -> Option<()> {
        match c {
            '\\' => value.push(match self.next()? {
                'n' => "\n",
                '\\' => "\\",
                '\'' => "'",
                '"' => "\"",
                '$' => "$",
                ' ' => " ",
                _ => return None,
            }),
            '$' => {
                let name = if self.next_if('{') {
                    let name = self.skip(|c| c != '}' && c != '\n');
                    self.next_if('}').then_some(name)?
                } else {
                    self.skip(|c| c.is_ascii_alphanumeric() || c == '_')
                };
                let known = self.outer.get(name).or_else(|| self.variables.get(name));
                value.push(known.map_or("", |known| known.as_str()));
            }
            c => value.push(c.encode_utf8(&mut [0; 4])),
        }
        Some(())
    }
}

/// White space within a line; a line may end with `\r\n`.
fn is_blank(c: char) -> bool {
    c != '\n' && c.is_whitespace()
}

/// A value in the making.
struct Value(Zeroizing<String>);

impl Value {
    fn new(capacity: usize) -> Self {
        Self(Zeroizing::new(String::with_capacity(capacity)))
    }

    /// Appends without leaving a copy behind where there is no room left.
    fn push(&mut self, text: &str) {
        if self.0.capacity() - self.0.len() < text.len() {
            let mut larger = Self::new(2 * (self.0.len() + text.len()));
            larger.0.push_str(&self.0);
            *self = larger;
        }
        self.0.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file beside an environment that holds `HOME=home`.
    fn file(text: &str) -> (Vec<(String, String)>, Vec<usize>) {
        let home = ("HOME".to_owned(), Zeroizing::new("home".to_owned()));
        let Dotenv { variables, wrong } = read(text, &BTreeMap::from([home]));
        (variables.into_iter().map(|(name, value)| (name, (*value).clone())).collect(), wrong)
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let expected = vec![("A".to_owned(), expected.to_owned())];
        assert_eq!(file(line), (expected, vec![]), "{line:?}");
    }

    #[test]
    fn a_value_is_read_as_a_shell_does() {
        check("A=b", "b");
        check("A = b ", "b");
        check("export A=b", "b");
        check("A=", "");
        check("A= # nothing", "");
        check("A=#nothing", "");
        check("A=b#c", "b#c");
        check("A=b # c", "b");
        check("A='b c' # d", "b c");
        check("A='b # c'", "b # c");
        check("A='b $HOME \\n'", "b $HOME \\n");
        check("A=\"b \\\"c\\\" \\$d \\\\ e\\n\"", "b \"c\" $d \\ e\n");
        check("A=b\\ c", "b c");
        check("A='b'\"c\"d", "bcd");
        check("A='b\nc'", "b\nc");
        check("A=$HOME/b", "home/b");
        check("A=\"${HOME}b$NOBODY\"", "homeb");
        check("A=b=c==", "b=c==");
        check("A=é\r\n", "é");
        check("# c\n\n  A=b\n", "b");
        check("A=b\nA=c\n", "c");
    }

    #[test]
    fn a_value_may_hold_an_earlier_one_but_for_what_the_environment_says() {
        let (variables, wrong) = file("B=1\nHOME=2\nA=$B${HOME}\n");
        assert_eq!(variables[0], ("A".to_owned(), "1home".to_owned()));
        assert!(wrong.is_empty());
        let long = "x".repeat(300);
        let (variables, _) = file(&format!("B={long}\nA=$B$B$B"));
        assert_eq!(variables[0].1, long.repeat(3));
    }

    #[test]
    fn what_is_no_variable_is_told_by_its_line() {
        let text = "A=b\nA KEY=c\n=d\n1=e\nA=f g\nA=\\q\n'A'=h\nexport A\nA=\"${i\"\nB=j\n";
        let (variables, wrong) = file(text);
        assert_eq!(wrong, [2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(variables.last(), Some(&("B".to_owned(), "j".to_owned())));
        assert_eq!(file("A='b").1, [1]);
        assert_eq!(file("A=1\nA=\"b\nc").1, [2]);
    }
}

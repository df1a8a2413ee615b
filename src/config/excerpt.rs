//! One line of a file, written with its mask.

use std::ops::Range;

use super::mask::{MASK, Piece, Unit, is_plain_name};
use super::problem::Excerpt;

/// Writes one masked line, and keeps track of where the spot went.
pub(super) struct Writer<'t> {
    text: &'t str,
    line: Range<usize>,
    span: Range<usize>,
    out: String,
    columns: usize,
    spot: Option<Range<usize>>,
}

impl<'t> Writer<'t> {
    pub(super) fn new(text: &'t str, line: Range<usize>, span: Range<usize>) -> Self {
        Self { text, line, span, out: String::new(), columns: 0, spot: None }
    }

    pub(super) fn write(mut self, pieces: &[Piece]) -> Excerpt {
        let mut pieces = pieces.iter().peekable();
        let mut at = self.line.start;
        while at < self.line.end {
            while pieces.peek().is_some_and(|piece| piece.span.end <= at) {
                pieces.next();
            }
            let next = pieces.peek().map_or(self.line.end, |piece| piece.span.start);
            if next <= at {
                let piece = pieces.next().map(|piece| (piece.span.end, piece.quoted, piece.shown));
                let (end, quoted, shown) = piece.unwrap_or((self.line.end, false, false));
                let end = end.min(self.line.end);
                match (shown, quoted) {
                    (true, _) => self.show(at..end),
                    (false, true) => self.hide(at..end, &format!("\"{MASK}\"")),
                    (false, false) => self.hide(at..end, MASK),
                }
                at = end;
            } else {
                let Some(end) = self.between(at..next.min(self.line.end)) else { break };
                at = end;
            }
        }
        let end = self.columns;
        // A spot past the end of the line, or in a comment, is where the line ends.
        let spot = self.spot.unwrap_or(end..end + 1);
        Excerpt { line: self.out.trim_end().to_owned(), spot }
    }

    /// Writes punctuation and words between two pieces; none where a comment begins.
    fn between(&mut self, gap: Range<usize>) -> Option<usize> {
        let text = &self.text[gap.clone()];
        if text.starts_with('#') {
            return None;
        }
        let is_word = |c: char| !c.is_whitespace() && !"[]{}.,=#".contains(c);
        let word = text.find(|c| !is_word(c)).unwrap_or(text.len());
        let end = match word {
            0 => gap.start + text.chars().next().map_or(1, char::len_utf8),
            _ => gap.start + word,
        };
        if word == 0 || is_plain_name(&text[..word]) || Unit::of(&text[..word]).is_some() {
            self.show(gap.start..end);
        } else {
            self.hide(gap.start..end, MASK);
        }
        Some(end)
    }

    fn show(&mut self, range: Range<usize>) {
        for (offset, c) in self.text[range.clone()].char_indices() {
            let at = range.start + offset;
            self.mark(at..at + c.len_utf8(), 1);
            self.out.push(if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            });
            self.columns += 1;
        }
    }

    fn hide(&mut self, range: Range<usize>, mask: &str) {
        self.mark(range, mask.len());
        self.out.push_str(mask);
        self.columns += mask.len();
    }

    fn mark(&mut self, range: Range<usize>, width: usize) {
        let touches =
            range.start < self.span.end.max(self.span.start + 1) && self.span.start < range.end;
        if touches {
            let start = self.spot.as_ref().map_or(self.columns, |spot| spot.start);
            self.spot = Some(start..self.columns + width);
        }
    }
}

//! YAML, or JSON, which is a part of it, as plain strings, lists and maps.

use saphyr_parser::{Event, Parser, StrInput};

/// A value as it is written: nothing is taken for a number or a date.
pub(super) enum Node {
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// How deep values stand in one another; configurations are never near this.
const DEPTH_LIMIT: usize = 64;

impl Node {
    /// Reads the first document of a text; the error is a sentence.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut events = Events(Parser::new_from_str(text));
        loop {
            match events.next()? {
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => {}
                event => return events.node(event, 0),
            }
        }
    }

    /// The value of a name.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The text at a name; none if it is empty or `null`.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Self::Text(text) if !["", "null", "~"].contains(&text.as_str()) => Some(text),
            _ => None,
        }
    }

    /// The items of the list at a name; none if there is no list.
    pub(super) fn list(&self, name: &str) -> &[Self] {
        match self.get(name) {
            Some(Self::List(items)) => items,
            _ => &[],
        }
    }
}

struct Events<'t>(Parser<'t, StrInput<'t>>);

impl<'t> Events<'t> {
    fn next(&mut self) -> Result<Event<'t>, String> {
        match self.0.next() {
            Some(Ok((event, _))) => Ok(event),
            // The message may repeat a part of the text.
            Some(Err(error)) => Err(format!("line {}: this is not YAML", error.marker().line())),
            None => Err("the file ends too early".to_owned()),
        }
    }

    fn node(&mut self, event: Event<'t>, depth: usize) -> Result<Node, String> {
        if depth > DEPTH_LIMIT {
            return Err(format!("values stand more than {DEPTH_LIMIT} deep in one another"));
        }
        match event {
            Event::Scalar(text, ..) => Ok(Node::Text(text.into_owned())),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Ok(Node::List(items)),
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut entries = Vec::new();
                loop {
                    let name = match self.next()? {
                        Event::MappingEnd => return Ok(Node::Map(entries)),
                        Event::Scalar(name, ..) => name.into_owned(),
                        // As in Kong's `{vault://…}` without quotation marks.
                        other => self.node(other, depth + 1).map(|_| String::new())?,
                    };
                    let event = self.next()?;
                    entries.push((name, self.node(event, depth + 1)?));
                }
            }
            // A few of them can stand for gigabytes.
            Event::Alias(_) => Err("aliases (`*name`) are not read; write them out".to_owned()),
            _ => Ok(Node::Text(String::new())),
        }
    }
}

//! Changes of header fields, as an operator writes them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use toml::Spanned;

use crate::config::problem::Fault;
use crate::config::types::Secret;
use crate::fields::Fields;
use crate::headers::{self, is_alias};

/// Fields by their names, each with its value.
type Written = BTreeMap<Spanned<String>, Spanned<Secret>>;

/// What is to be changed, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditSettings {
    /// Fields that take the place of all with their names.
    #[serde(default)]
    set: Written,
    /// Fields that come beside those with their names.
    #[serde(default)]
    add: Written,
    /// Names of fields that go.
    #[serde(default)]
    remove: Vec<Spanned<String>>,
}

impl EditSettings {
    /// Where values stand that are most likely secrets.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = Range<usize>> {
        let fields = self.set.iter().chain(&self.add);
        let is_secret = |name: &str| {
            let name = name.to_ascii_lowercase();
            ["auth", "key", "token", "secret", "cookie"].iter().any(|word| name.contains(word))
        };
        fields.filter(move |(name, _)| is_secret(name.get_ref())).map(|(_, value)| value.span())
    }

    /// Turns what is written into what is done, or says everything that is wrong with it.
    pub(crate) fn build(&self) -> Result<Edit, Vec<Fault>> {
        let mut builder = Builder::default();
        for (name, value) in &self.set {
            if let Some((name, value)) = builder.field(name, value) {
                builder.edit.gone.push(name.clone());
                builder.edit.new.push((name, value));
            }
        }
        for name in &self.remove {
            if let Some(name) = builder.name(name) {
                builder.edit.gone.push(name);
            }
        }
        let gone = builder.edit.gone.len();
        for (name, value) in &self.add {
            let field = builder.field(name, value);
            builder.edit.new.extend(field);
        }
        let Builder { edit, mut faults, .. } = builder;
        if faults.is_empty() && gone == 0 && edit.new.is_empty() {
            let fault = Fault::new("nothing is changed");
            faults.push(fault.help("set = { X-Name = \"value\" } sets a field"));
        }
        if faults.is_empty() { Ok(edit) } else { Err(faults) }
    }
}

/// Collects what is done, and what is wrong.
#[derive(Default)]
struct Builder {
    edit: Edit,
    named: Vec<HeaderName>,
    faults: Vec<Fault>,
}

impl Builder {
    fn field(
        &mut self,
        name: &Spanned<String>,
        value: &Spanned<Secret>,
    ) -> Option<(HeaderName, HeaderValue)> {
        let field = self.name(name);
        match (field, content(value.get_ref().expose())) {
            (Some(field), Ok(value)) => Some((field, value)),
            (_, Err(message)) => {
                self.faults.push(Fault::at(value.span(), format!("the value {message}")));
                None
            }
            (None, Ok(_)) => None,
        }
    }

    fn name(&mut self, written: &Spanned<String>) -> Option<HeaderName> {
        let text = written.get_ref();
        let message = match HeaderName::from_bytes(text.as_bytes()) {
            Err(_) => "this is no name of a header".to_owned(),
            Ok(name) if headers::frames_messages(&name) => {
                format!("`{name}` frames messages and cannot be changed")
            }
            Ok(name) if headers::is_own(&name) => format!("only keygate sets `{name}`"),
            Ok(name) if self.named.iter().any(|n| is_alias(n.as_str(), name.as_str())) => {
                format!("`{name}` is there twice")
            }
            Ok(name) => {
                self.named.push(name.clone());
                return Some(name);
            }
        };
        self.faults.push(Fault::at(written.span(), message));
        None
    }
}

/// The value of a field; what is wrong is the rest of a sentence that repeats nothing of it.
fn content(text: &str) -> Result<HeaderValue, &'static str> {
    if text.trim().is_empty() {
        return Err("is empty: `remove` is a list of names");
    }
    // So is a `Bearer ${NAME}` without a token.
    if text.trim() != text {
        return Err("has blanks at its ends: is a variable empty?");
    }
    let mut value = HeaderValue::from_str(text).map_err(|_| "holds what no field can hold")?;
    value.set_sensitive(true);
    Ok(value)
}

/// What is done to header fields.
#[derive(Default)]
pub(crate) struct Edit {
    /// Fields with these names go, in any spelling that could be taken for them.
    gone: Vec<HeaderName>,
    /// These come.
    new: Vec<(HeaderName, HeaderValue)>,
}

/// Says which fields are changed, and nothing of their values.
impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let new: Vec<_> = self.new.iter().map(|(name, _)| (name, "[secret]")).collect();
        f.debug_struct("Edit").field("gone", &self.gone).field("new", &new).finish()
    }
}

impl Edit {
    /// The names of all fields that it changes.
    pub(crate) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.gone.iter().chain(self.new.iter().map(|(name, _)| name))
    }

    /// Those that come with values of the operator's.
    pub(crate) fn new_names(&self) -> impl Iterator<Item = &HeaderName> {
        self.new.iter().map(|(name, _)| name)
    }

    /// Removes what is to go.
    pub(crate) fn clear(&self, fields: &mut Fields) {
        if !self.gone.is_empty() {
            let goes = |name: &HeaderName| {
                self.gone.iter().any(|gone| is_alias(gone.as_str(), name.as_str()))
            };
            fields.retain(|name, _| !goes(name));
        }
    }

    /// Removes what is to go, and adds what is to come.
    pub(crate) fn apply(&self, fields: &mut Fields) {
        self.clear(fields);
        for (name, value) in &self.new {
            if let Some((name, value)) = copy(name, value) {
                fields.append(name, value);
            }
        }
    }

    /// Takes the fields that come out of the lists in `Connection`, by which a client could have
    /// them removed (RFC 9110, section 7.6.1).
    pub(crate) fn keep_from_hop(&self, fields: &mut Fields) {
        let is_new = |option: &[u8]| {
            self.new_names().any(|name| option.eq_ignore_ascii_case(name.as_str().as_bytes()))
        };
        headers::keep_from_hop(fields, is_new);
    }
}

/// A copy that shares nothing: all workers would count the references to the same memory.
fn copy(name: &HeaderName, value: &HeaderValue) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
    let mut copied = HeaderValue::from_bytes(value.as_bytes()).ok()?;
    copied.set_sensitive(value.is_sensitive());
    Some((name, copied))
}

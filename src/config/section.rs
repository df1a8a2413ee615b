//! One table of the configuration, read into a type with everything that is wrong with it.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, ValueDeserializer};

use super::describe::describe;
use super::files;
use super::mask::{self, Unit};
use super::problem::Fault;

/// One table of the configuration, about to be read into a type.
pub struct Section<'a> {
    unit: Unit,
    table: DeTable<'a>,
    span: Range<usize>,
    /// The strings that held variables, and whether all of them were replaced.
    variables: &'a [(Range<usize>, bool)],
    /// Whether others may read the file.
    exposed: bool,
    /// The fields that were taken out because of a fault.
    pub(super) bad_fields: Vec<String>,
    /// Everything that is wrong.
    pub(super) faults: Vec<Fault>,
    /// What is no fault, but somebody should know.
    pub(super) warnings: Vec<Fault>,
}

/// How many faults of one table are worth listing; each costs one more reading of the table.
const MAX_FAULTS: usize = 20;

impl<'a> Section<'a> {
    pub(super) fn new(
        unit: Unit,
        table: DeTable<'a>,
        span: Range<usize>,
        variables: &'a [(Range<usize>, bool)],
        exposed: bool,
    ) -> Self {
        Self {
            unit,
            table,
            span,
            variables,
            exposed,
            bad_fields: Vec::new(),
            faults: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Reads the whole table, or notes everything that is wrong with it.
    pub fn read<T: DeserializeOwned>(&mut self) -> Option<T> {
        let read = self.read_what_is_right();
        if self.faults.is_empty() && self.bad_fields.is_empty() { read } else { None }
    }

    /// Notes one more fault.
    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Notes that keys stand at these places: where they are written out in a file that others may
    /// read, that draws a warning.
    pub fn keys_at(&mut self, mut places: impl Iterator<Item = Range<usize>>) {
        if !self.exposed {
            return;
        }
        if let Some(place) = places.find(|place| self.is_verbatim(place)) {
            self.warnings.push(Fault { span: Some(place), ..files::exposed_keys() });
        }
    }

    /// Where a field's value stands.
    pub fn place(&self, field: &str) -> Option<Range<usize>> {
        self.table.get(field).map(Spanned::span)
    }

    /// Whether a value was written without variables, which may hold keys.
    pub(super) fn is_verbatim(&self, place: &Range<usize>) -> bool {
        !self.variables.iter().any(|(variable, _)| variable == place)
    }

    /// Takes a field out before the rest is read.
    pub(super) fn take(&mut self, field: &str) -> Option<Spanned<DeValue<'a>>> {
        self.table.remove(field)
    }

    /// Reads the table without the entries that are wrong, each of which is noted.
    pub(super) fn read_what_is_right<T: DeserializeOwned>(&mut self) -> Option<T> {
        // Serde stops at the first error and says where it is. What stands there is taken out, and
        // the rest is read again, until nothing is wrong any more.
        let mut shrunk: Vec<Range<usize>> = Vec::new();
        for _ in 0..MAX_FAULTS {
            let value = DeValue::Table(self.table.clone());
            let whole = Spanned::new(self.span.clone(), value);
            let error = match T::deserialize(ValueDeserializer::from(whole)) {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let culprit =
                error.span().and_then(|span| find(self.unit, &self.table, &span, &mut Vec::new()));
            let Some(culprit) = culprit else {
                self.note_missing(error.message());
                return None;
            };
            self.note(&culprit, error.message(), error.span(), &shrunk);
            let container = remove(&mut self.table, &culprit);
            shrunk.extend(container);
            self.bad_fields.extend(culprit.field().map(str::to_owned));
        }
        None
    }

    fn note_missing(&mut self, message: &str) {
        let mentions = |field: &String| message.contains(&format!("`{field}`"));
        if !self.bad_fields.iter().any(mentions) {
            self.faults.push(describe(message, false));
        }
    }

    fn note(
        &mut self,
        culprit: &Culprit,
        message: &str,
        span: Option<Range<usize>>,
        shrunk: &[Range<usize>],
    ) {
        let span = span.unwrap_or_else(|| culprit.span.clone());
        let mut variables = self.variables.iter().filter(|(place, _)| holds(&culprit.span, place));
        // A container that lost an entry may now miss it: that is no news. Nor is what follows from
        // a variable that is not set.
        if shrunk.contains(&culprit.span) || variables.clone().any(|(_, replaced)| !replaced) {
            return;
        }
        let show = culprit.shown && variables.next().is_none();
        let fault = describe(message, show);
        self.faults.push(Fault { span: Some(span), ..fault });
    }
}

/// The entry that an error is about, and the way to it.
struct Culprit {
    steps: Vec<Step>,
    span: Range<usize>,
    /// Whether it is a string that may be repeated.
    shown: bool,
}

#[derive(Clone)]
enum Step {
    Name(String),
    Index(usize),
}

impl Culprit {
    fn new(unit: Unit, steps: &[Step], value: &Spanned<DeValue<'_>>) -> Self {
        let mut culprit = Self { steps: steps.to_vec(), span: value.span(), shown: true };
        let names = culprit.names();
        culprit.shown = match value.get_ref().as_str() {
            Some(text) => mask::may_show(unit, &names, text),
            None => mask::is_shown(unit, &names),
        };
        culprit
    }

    fn field(&self) -> Option<&str> {
        match self.steps.first() {
            Some(Step::Name(name)) => Some(name),
            _ => None,
        }
    }

    fn names(&self) -> Vec<&str> {
        let steps = self.steps.iter();
        let names = steps.filter_map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::Index(_) => None,
        });
        names.collect()
    }
}

/// Finds the innermost entry that holds a place. The span of a table with a header of its own is
/// that header, so its entries are looked at first.
fn find(
    unit: Unit,
    table: &DeTable<'_>,
    place: &Range<usize>,
    way: &mut Vec<Step>,
) -> Option<Culprit> {
    for (key, value) in table {
        way.push(Step::Name(key.get_ref().to_string()));
        if holds(&key.span(), place) {
            return Some(Culprit::new(unit, way, value));
        }
        if let Some(found) = find_in(unit, value, place, way) {
            return Some(found);
        }
        way.pop();
    }
    None
}

fn find_in(
    unit: Unit,
    value: &Spanned<DeValue<'_>>,
    place: &Range<usize>,
    way: &mut Vec<Step>,
) -> Option<Culprit> {
    let inner = match value.get_ref() {
        // An error of the whole table is one of the entry that holds the table.
        _ if value.span() == *place => None,
        DeValue::Table(table) => find(unit, table, place, way),
        DeValue::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            way.push(Step::Index(index));
            let found = find_in(unit, item, place, way);
            way.pop();
            found
        }),
        _ => None,
    };
    inner.or_else(|| holds(&value.span(), place).then(|| Culprit::new(unit, way, value)))
}

fn holds(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Takes the entry out, and says which container it was in.
fn remove(table: &mut DeTable<'_>, culprit: &Culprit) -> Option<Range<usize>> {
    let (last, way) = culprit.steps.split_last()?;
    let Some((first, rest)) = way.split_first() else {
        if let Step::Name(name) = last {
            table.remove(name.as_str());
        }
        return None;
    };
    let Step::Name(first) = first else { return None };
    let mut container = table.get_mut(first.as_str())?;
    for step in rest {
        container = enter(container, step)?;
    }
    let span = container.span();
    match (container.get_mut(), last) {
        (DeValue::Table(table), Step::Name(name)) => {
            table.remove(name.as_str());
        }
        (DeValue::Array(items), Step::Index(index)) => {
            let mut kept = DeArray::new();
            for (_, item) in items.iter().enumerate().filter(|(i, _)| i != index) {
                kept.push(item.clone());
            }
            *items = kept;
        }
        _ => {}
    }
    Some(span)
}

fn enter<'v, 'a>(
    value: &'v mut Spanned<DeValue<'a>>,
    step: &Step,
) -> Option<&'v mut Spanned<DeValue<'a>>> {
    match (value.get_mut(), step) {
        (DeValue::Table(table), Step::Name(name)) => table.get_mut(name.as_str()),
        (DeValue::Array(items), Step::Index(index)) => items.get_mut(*index),
        _ => None,
    }
}

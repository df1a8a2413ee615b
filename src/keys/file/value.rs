//! Values of a keys file by their types; what is of another is noted.

use std::ops::{Range, RangeInclusive};
use std::time::SystemTime;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::moment::{EXAMPLE, moment};
use crate::config::problem::Fault;
use crate::config::unknown_field;

pub(super) type Value<'v> = Spanned<DeValue<'v>>;

/// Reads values of one part of a text, and notes what is wrong with them.
pub(super) struct Reader<'f> {
    /// Where the part begins; the places in its values count from there.
    pub(super) start: usize,
    pub(super) faults: &'f mut Vec<Fault>,
}

impl Reader<'_> {
    /// Notes a fault at a place in the part.
    pub(super) fn note(&mut self, place: Range<usize>, fault: Fault) {
        let place = self.placed(place);
        self.note_placed(place, fault);
    }

    /// Notes a fault at a place in the text.
    pub(super) fn note_placed(&mut self, place: Range<usize>, fault: Fault) {
        self.faults.push(Fault { span: Some(place), ..fault });
    }

    fn placed(&self, place: Range<usize>) -> Range<usize> {
        self.start + place.start..self.start + place.end
    }

    fn note_type(&mut self, value: &Value<'_>, expected: &str) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let fault = Fault::new(format!("expected {expected}, found {found}"));
        let in_quotes = value.get_ref().is_str() && expected == DATE;
        let help = in_quotes.then(|| format!("without quotation marks, {EXAMPLE}"));
        self.note(value.span(), fault.maybe_help(help));
    }

    /// A table, with its unknown fields noted.
    pub(super) fn table<'v>(
        &mut self,
        value: &'v Value<'v>,
        known: &[&str],
    ) -> Option<&'v DeTable<'v>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.note_type(value, "a table");
        }
        for name in table.into_iter().flat_map(|table| table.keys()) {
            if !known.contains(&name.get_ref().as_ref()) {
                self.note(name.span(), unknown_field(name.get_ref(), known));
            }
        }
        table
    }

    /// What a string means.
    pub(super) fn parsed<T>(
        &mut self,
        value: &Value<'_>,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Spanned<T>> {
        let Some(text) = value.get_ref().as_str() else {
            self.note_type(value, "a string");
            return None;
        };
        match parse(text) {
            Ok(parsed) => Some(Spanned::new(self.placed(value.span()), parsed)),
            Err(fault) => {
                self.note(value.span(), fault);
                None
            }
        }
    }

    /// What the strings of a list mean.
    pub(super) fn list<T>(
        &mut self,
        value: &Value<'_>,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Vec<Spanned<T>>> {
        let Some(list) = value.get_ref().as_array() else {
            self.note_type(value, "a list");
            return None;
        };
        Some(list.iter().filter_map(|item| self.parsed(item, &parse)).collect())
    }

    /// The same without their places.
    pub(super) fn plain_list<T>(
        &mut self,
        value: &Value<'_>,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Vec<T>> {
        let list = self.list(value, parse)?;
        Some(list.into_iter().map(Spanned::into_inner).collect())
    }

    /// Whether a boolean is true.
    pub(super) fn is_true(&mut self, value: &Value<'_>) -> bool {
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            self.note_type(value, "true or false");
        }
        boolean == Some(true)
    }

    /// A whole number within bounds.
    pub(super) fn number(&mut self, value: &Value<'_>, bounds: RangeInclusive<u32>) -> Option<u32> {
        let Some(integer) = value.get_ref().as_integer() else {
            self.note_type(value, "a whole number");
            return None;
        };
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            let (least, most) = bounds.into_inner();
            let fault = Fault::new(format!("expected a whole number from {least} to {most}"));
            self.note(value.span(), fault);
        }
        number
    }

    /// A date and time with an offset.
    pub(super) fn moment(&mut self, value: &Value<'_>) -> Option<SystemTime> {
        let Some(written) = value.get_ref().as_datetime() else {
            self.note_type(value, DATE);
            return None;
        };
        moment(written).map_err(|fault| self.note(value.span(), fault)).ok()
    }
}

const DATE: &str = "a date and time";

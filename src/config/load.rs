//! From files to a [`Config`](super::Config): reading, merging, `${…}`, `.env`.

use serde::Deserialize;

use super::problem::Fault;

/// One table of the configuration, about to be read into a type.
pub struct Section<'a> {
    faults: &'a mut Vec<Fault>,
}

impl Section<'_> {
    /// Reads the whole table, or notes everything that is wrong with it.
    pub fn read<T: for<'de> Deserialize<'de>>(&mut self) -> Option<T> {
        self.faults.push(Fault::new("not read"));
        None
    }

    /// Notes one more fault.
    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }
}

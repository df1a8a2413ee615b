//! Which kind of plugin a table is.

use toml::Spanned;
use toml::de::DeValue;

use super::problem::Fault;
use super::section::Section;
use super::{Plugin, mask, suggest};
use crate::plugin::{KINDS, Kind};

/// Reads the table of a plugin by its kind.
pub(super) fn plugin(name: &str, section: &mut Section<'_>) -> Option<Plugin> {
    let kind = match section.take("category") {
        Some(category) => kind_of_category(&category, section.is_verbatim(&category.span())),
        None => kind_of_name(name).ok_or_else(|| no_kind(name)),
    };
    match kind {
        Ok(kind) => (kind.read)(section).map(|settings| Plugin { kind: kind.name, settings }),
        Err(fault) => {
            section.fault(fault);
            None
        }
    }
}

fn kind_of_category(
    category: &Spanned<DeValue<'_>>,
    verbatim: bool,
) -> Result<&'static Kind, Fault> {
    let Some(written) = category.get_ref().as_str() else {
        return Err(Fault::at(category.span(), "expected the kind of the plugin, a string"));
    };
    let unknown =
        || {
            let shown =
                if verbatim && !mask::looks_like_key(written) { written } else { mask::MASK };
            Fault::at(category.span(), format!("unknown kind of plugin `{shown}`"))
                .help(suggest::help(written, &kind_names(), ""))
        };
    kind(written).ok_or_else(unknown)
}

fn kind(name: &str) -> Option<&'static Kind> {
    let name = name.replace('_', "-");
    KINDS.iter().find(|kind| kind.name == name)
}

/// The longest kind that the name equals, or begins with up to a separator: `key-authority` is no
/// `key-auth`.
fn kind_of_name(name: &str) -> Option<&'static Kind> {
    let name = name.replace(['_', '.'], "-");
    let begins = |kind: &&Kind| {
        name.strip_prefix(kind.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    KINDS.iter().filter(begins).max_by_key(|kind| kind.name.len())
}

fn kind_names() -> Vec<&'static str> {
    KINDS.iter().map(|kind| kind.name).collect()
}

fn no_kind(name: &str) -> Fault {
    let help = match suggest::closest(name, kind_names()) {
        Some(meant) => format!("did you mean `{meant}`? Else say it: category = \"{meant}\""),
        None => format!("say it: category = \"KIND\", one of {}", kind_names().join(", ")),
    };
    Fault::new(format!("the name `{name}` does not say what kind of plugin this is")).help(help)
}

//! `keygate keys revoke`: the end of a key.

use super::target::Target;
use super::{Search, closed, refused};
use crate::cli::{Console, Failure};
use crate::keys::file::Entry;
use crate::keystore::edit::{Edit, Refusal};

/// Arguments of `keys revoke`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The id of the key
    id: String,
    /// Keep the record, disabled: `disabled = false` makes it valid again
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    target: Target,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Removes the record, or disables it. By default it goes: what is not there can never come back by
/// somebody's slip, and its id is free for a successor.
pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let keys = args.target.find()?;
    let mut search = Search::new(&args.id);
    let edit = Edit::begin(&keys.path, false, |record| search.look(record));
    let mut edit = edit.map_err(refused)?;
    let record = search.found()?;
    let entry = Entry::new(edit.text(), &args.id, record.id.span().start);
    let entry = entry.map_err(|message| refused(Refusal::Failed(message.to_owned())))?;
    let (part, text) =
        if args.disable { entry.disabled() } else { (entry.extent(), String::new()) };
    edit.replace(part, text);
    edit.commit().map_err(refused)?;
    let done = if args.disable { "disabled" } else { "removed" };
    if args.json {
        let object = serde_json::json!({ "id": args.id, "revoked": done });
        return writeln!(console.out, "{object}").map_err(closed);
    }
    let path = keys.path.display();
    writeln!(console.notes, "`{}` is {done} in {path}", args.id).map_err(closed)
}

//! `keygate keygen`: new random keys.

use std::io::Write;

use super::Failure;
use crate::keys::digest::Digest;
use crate::keys::format;

/// The most keys at a time; who needs more wants a keys file.
const COUNT_LIMIT: u16 = 1000;

/// Arguments of `keygen`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the keys begin with: lower-case letters and digits
    #[arg(long, value_name = "P", default_value = "kg")]
    prefix: String,
    /// How many keys
    #[arg(short = 'n', value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=i64::from(COUNT_LIMIT)))]
    count: u16,
}

/// Prints the keys, each with the line to paste into a configuration. They are stored nowhere.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    for _ in 0..args.count {
        let key = format::generate(&args.prefix).map_err(|message| Failure {
            code: 2,
            message: format!("error: --prefix: {message}"),
        })?;
        let digest = Digest::of(key.as_bytes()).written();
        writeln!(out, "{}\nkeys = [\"{digest}\"]", *key)
            .map_err(|error| Failure::runtime(format!("error: {error}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_comes_with_the_line_of_its_digest() {
        let mut out = Vec::new();
        run(&Args { prefix: "test".to_owned(), count: 3 }, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 6);
        for pair in lines.chunks(2) {
            assert!(pair[0].starts_with("test_"));
            let digest = Digest::of(pair[0].as_bytes()).written();
            assert_eq!(pair[1], format!("keys = [\"{digest}\"]"));
        }
    }

    #[test]
    fn a_prefix_that_is_none_is_wrong_usage() {
        let failure = run(&Args { prefix: "A_".to_owned(), count: 1 }, &mut Vec::new());
        assert_eq!(failure.map_err(|failure| failure.code), Err(2));
    }
}

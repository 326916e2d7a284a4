//! An input by reference as a command gets it: a file, and variables as far as they go.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use longhaul_core::contract::{self, MAX_INPUT_VARIABLE};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Writes the input to a new file that only this user can read.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(content)
}

/// The variables for an input, JSON, that came by reference: all of it in `LONGHAUL_INPUT` if it
/// fits, and its scalars, of which whoever started the job passed only the short ones.
///
/// A scalar whose variable `is_set` is left out: it came with the job, or the job's own
/// environment wins over it. Of the others those are taken, the shortest first, that fit into
/// 100 KiB together, so that a command can be started with any input.
pub(crate) fn variables(content: &[u8], is_set: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut scalars: Vec<_> = contract::input_variables(&scalars(content))
        .into_iter()
        .filter(|(name, _)| !is_set(name))
        .collect();
    scalars.sort_by_key(|(_, value)| value.len());
    let mut room = MAX_INPUT_VARIABLE;
    let mut variables: BTreeMap<_, _> = scalars
        .into_iter()
        .take_while(|(name, value)| {
            let fits = room.checked_sub(name.len() + value.len());
            room = fits.unwrap_or(0);
            fits.is_some()
        })
        .collect();
    if content.len() <= MAX_INPUT_VARIABLE
        && let Ok(text) = std::str::from_utf8(content)
    {
        variables.insert(contract::INPUT.to_owned(), text.to_owned());
    }
    variables
}

/// The top-level scalars of an object that could become variables. An input can be as large as
/// the store's limit, so that nothing else of it is built.
fn scalars(content: &[u8]) -> Value {
    let Ok(members) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(content) else {
        return Value::Null;
    };
    let scalars = members
        .into_iter()
        .filter(|(_, raw)| !raw.get().starts_with(['{', '[']))
        // Escapes can make a text six times as long.
        .filter(|(_, raw)| raw.get().len() <= 6 * MAX_INPUT_VARIABLE)
        .filter_map(|(name, raw)| Some((name, serde_json::from_str(raw.get()).ok()?)));
    Value::Object(scalars.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(variables: &BTreeMap<String, String>) -> Vec<&str> {
        variables.keys().map(String::as_str).collect()
    }

    #[test]
    fn an_input_that_fits_is_a_variable_and_so_are_its_long_scalars() {
        let long = "é\n".repeat(200);
        let input = json!({"message": long, "frames": [1], "own": "mine", "path": "/evil"});
        let content = input.to_string();
        let found = variables(content.as_bytes(), |name| name == "OWN");
        assert_eq!(names(&found), ["LONGHAUL_INPUT", "MESSAGE"]);
        assert_eq!(found["LONGHAUL_INPUT"], content);
        assert_eq!(found["MESSAGE"], long);
    }

    #[test]
    fn a_larger_input_is_no_variable_and_its_scalars_are_as_far_as_they_fit() {
        let text = |kib: usize| "x".repeat(kib * 1024);
        let input = json!({"a": text(60), "b": text(60), "c": text(2), "d": text(600)});
        let found = variables(input.to_string().as_bytes(), |_| false);
        assert_eq!(names(&found), ["A", "C"]);
    }

    #[test]
    fn the_limit_of_the_variable_is_100_kib() {
        let text = |len: usize| format!("\"{}\"", "x".repeat(len - 2));
        let set = |len| !variables(text(len).as_bytes(), |_| false).is_empty();
        assert!(set(102_400));
        assert!(!set(102_401));
    }

    #[test]
    fn the_file_is_private_and_never_one_that_was_there() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input.json");
        write(&path, b"[1]").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"[1]");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            write(&path, b"2").unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
    }
}

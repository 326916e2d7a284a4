//! Inputs and results that are too large to travel inline, with the real command and processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Finished, World};

/// A command that answers with its input, which is too large for a variable.
const COPY: &str =
    r#"[ -z "${LONGHAUL_INPUT+set}" ] && cat "$LONGHAUL_INPUT_FILE" >"$LONGHAUL_RESULT_FILE""#;

/// A command that answers with a text of 3 MiB.
const LARGE: &str =
    r#"(printf '"'; head -c 3145728 /dev/zero | tr '\0' x; printf '"\n') >"$LONGHAUL_RESULT_FILE""#;

/// A job file with an input of this size.
fn copy_of(world: &World, bytes: usize) -> (String, Value) {
    let input = json!({"frames": "x".repeat(bytes)});
    let job = json!({"name": "copy", "command": ["sh", "-c", COPY], "input": input});
    (world.file("copy.json", &job.to_string()), input)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[track_caller]
fn assert_large(finished: &Finished) {
    assert_eq!(finished.code(), Some(0), "{:#?}", finished.events);
    // Not `assert_eq!`, which would print six megabytes.
    let expected = format!("\"{}\"\n", "x".repeat(3 * 1024 * 1024));
    assert!(finished.stdout == expected, "{:.200}", finished.stdout);
}

#[test]
fn an_input_and_a_result_of_300_kib_come_through_a_private_folder_of_the_execution() {
    let world = World::new();
    let (job, input) = copy_of(&world, 300 * 1024);
    let finished = world.run(&["--execution", "copy", &job]);
    assert!(finished.result() == input, "{:.200}", finished.stdout);
    let folder = world.state().join("runs/copy/payloads");
    assert_eq!(mode(&folder), 0o700);
    let kept = files(&folder);
    let names: Vec<_> = kept.iter().map(|file| file.file_name().unwrap()).collect();
    assert_eq!(names, ["input.json", "result.json"]);
    assert!(kept.iter().all(|file| mode(file) == 0o600));
}

#[test]
fn a_result_of_3_mib_is_printed_whole_and_again_for_the_same_execution() {
    let world = World::new();
    let words = ["--execution", "large", "--", "sh", "-c", LARGE];
    for lifetime in [&["--fresh"][..], &[]] {
        let finished = world.run(&[lifetime, &words].concat());
        assert_large(&finished);
    }
}

#[test]
fn a_result_that_is_gone_from_the_store_is_an_error_that_says_so() {
    let world = World::new();
    let words = ["--execution", "large", "--", "sh", "-c", LARGE];
    assert_large(&world.run(&words));
    let folder = world.state().join("runs/large/payloads");
    std::fs::remove_file(&files(&folder)[0]).unwrap();
    let finished = world.run(&words);
    assert_eq!(finished.code(), Some(1), "{finished:#?}");
    assert_eq!(finished.stdout, "");
    for part in ["the job succeeded", "nothing is there", "/result.json"] {
        assert!(finished.plain.contains(part), "{part}: {finished:#?}");
    }
}

#[test]
fn a_store_of_ones_own_is_used_and_the_execution_returns_the_place_of_what_it_cannot_return() {
    let world = World::new();
    let store = world.path().join("my store");
    let url = format!("file://{}", store.display());
    let words = ["--execution", "large", "--", "sh", "-c", LARGE];
    let finished = world.run(&[&["--payload-store", &url][..], &words].concat());
    assert_large(&finished);
    let kept = files(&store);
    assert_eq!(kept.len(), 1);
    // To a run without this store the place is the result.
    let finished = world.run(&[&["--payload-store", "none"][..], &words].concat());
    let result = finished.result();
    let uri = result["longhaul_payload"].as_str().unwrap();
    assert_eq!(result.as_object().unwrap().len(), 1);
    let place = kept[0].to_str().unwrap().replace(' ', "%20");
    assert!(uri.starts_with(&format!("file://{place}#sha256=")), "{uri}");
    assert!(uri.ends_with("&size=3145731"), "{uri}");
}

#[test]
fn a_job_that_returns_a_place_of_its_own_choice_gets_it_back_unread() {
    let world = World::new();
    let secret = world.file("result.json", "\"secret\"");
    let folder = Path::new(&secret).parent().unwrap().display();
    let key = format!("{}/{}", "0".repeat(20), "0".repeat(64));
    let uri = format!(
        "file://{folder}/{key}/result.json#sha256={}&size=8",
        "0".repeat(64)
    );
    let result = json!({"longhaul_payload": uri}).to_string();
    let finished = world.run(&[
        "--input",
        &result,
        "--",
        "sh",
        "-c",
        "printf '%s' \"$LONGHAUL_INPUT\" > \"$LONGHAUL_RESULT_FILE\"",
    ]);
    assert_eq!(finished.result().to_string(), result);
}

#[test]
fn without_a_store_an_input_that_does_not_fit_is_refused_with_its_size() {
    let world = World::new();
    let (job, _) = copy_of(&world, 300 * 1024);
    let output = world
        .command(&["run", &job])
        .env("LONGHAUL_PAYLOAD_STORE", "none")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let stderr = String::from_utf8(output.stderr).unwrap();
    for part in [
        "Longhaul.Backend.TooLarge",
        "131072 bytes",
        "with a payload store (LONGHAUL_PAYLOAD_STORE)",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}

#[test]
fn what_can_never_be_carried_is_bad_usage() {
    let world = World::new();
    let (job, _) = copy_of(&world, 1024 * 1024);
    for (words, part) in [
        (&[job.as_str()][..], "an execution takes 1 MiB"),
        (&["--payload-store", "ftp://x", "--", "true"], "`ftp:`"),
        (
            &["--payload-store", "memory:", "--", "true"],
            "no worker can reach",
        ),
    ] {
        let finished = world.run(words);
        assert_eq!(finished.code(), Some(2), "{words:?}: {finished:#?}");
        assert!(finished.plain.contains(part), "{words:?}: {finished:#?}");
    }
}

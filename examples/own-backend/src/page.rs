//! The page that tells how this crate came about, compared with the crate.
#![allow(clippy::expect_used, reason = "tests")]

const PAGE: &str = include_str!("../../../docs/own-backend.md");

/// Everything that the page may quote.
const SOURCES: [&str; 6] = [
    include_str!("queue.rs"),
    include_str!("backend.rs"),
    include_str!("backend_tests.rs"),
    include_str!("spool.rs"),
    include_str!("bin/spool-function.rs"),
    include_str!("../tests/spool.rs"),
];

/// The lines without their indentation, for a page does not indent what it quotes.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).collect()
}

/// The parts of a block: `// …` stands for what it leaves out.
fn parts<'a>(block: &[&'a str]) -> Vec<Vec<&'a str>> {
    let parts = block.split(|line| *line == "// …");
    parts
        .filter(|part| !part.is_empty())
        .map(<[_]>::to_vec)
        .collect()
}

#[test]
fn every_block_of_the_page_is_what_compiles() {
    let mut blocks = 0;
    for text in PAGE.split("```rust\n").skip(1) {
        let (block, _) = text.split_once("```").expect("a block ends");
        blocks += 1;
        let block = lines(block);
        for part in parts(&block) {
            let quoted = SOURCES.iter().any(|source| {
                let source = lines(source);
                source.windows(part.len()).any(|lines| lines == part)
            });
            assert!(quoted, "this is nowhere in the crate:\n{}", part.join("\n"));
        }
    }
    assert!(blocks >= 6, "the page shows {blocks} blocks");
}

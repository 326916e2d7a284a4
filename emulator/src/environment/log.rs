//! What functions print, line by line into one private file per function.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// The longest line that is kept whole, in bytes. A longer one is written in pieces.
const LONGEST_LINE: usize = 64 * 1024;

/// The log of one function, shared by its environments.
#[derive(Debug, Clone)]
pub(crate) struct FunctionLog {
    file: Arc<Mutex<File>>,
}

impl FunctionLog {
    pub(crate) fn new(file: File) -> Self {
        Self {
            file: Arc::new(Mutex::new(file)),
        }
    }

    fn write(&self, line: &[u8]) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut whole = Vec::with_capacity(line.len() + 1);
        whole.extend_from_slice(line);
        if !whole.ends_with(b"\n") {
            whole.push(b'\n');
        }
        // One write a line, so that lines of several environments do not mix.
        if let Err(error) = file.write_all(&whole) {
            tracing::warn!(%error, "a line of a function's output could not be logged");
        }
    }

    /// Copies `output` into the log until it ends.
    pub(crate) fn capture(&self, output: impl AsyncRead + Unpin + Send + 'static) {
        let log = self.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(output);
            let mut line = Vec::new();
            loop {
                let (used, complete) = match reader.fill_buf().await {
                    Ok([]) | Err(_) => break,
                    Ok(bytes) => {
                        let newline = bytes.iter().position(|byte| *byte == b'\n');
                        let used = newline.map_or(bytes.len(), |at| at + 1);
                        line.extend_from_slice(bytes.get(..used).unwrap_or_default());
                        (used, newline.is_some())
                    }
                };
                reader.consume(used);
                if complete || line.len() >= LONGEST_LINE {
                    log.write(&line);
                    line.clear();
                }
            }
            if !line.is_empty() {
                log.write(&line);
            }
        });
    }
}

//! The service with its web page: `web-page STATE FUNCTION=PROGRAM…`. Prints its URL and runs until it is killed.
//!
//! A step that returns `{"log": "PATH"}` has started something that writes to PATH: the page shows the end of it.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;

use longhaul_emulator::{
    FunctionConfig, LogSource, LogTail, RecordedStep, Service, ServiceConfig, WebPage,
};

struct Files;

impl LogSource for Files {
    fn tails(&self, step: &RecordedStep<'_>, limit: usize) -> Vec<LogTail> {
        let record: Option<serde_json::Value> = serde_json::from_str(step.result).ok();
        record
            .as_ref()
            .and_then(|record| record.get("log")?.as_str())
            .and_then(|path| tail(Path::new(path), limit))
            .into_iter()
            .collect()
    }
}

fn tail(path: &Path, limit: usize) -> Option<LogTail> {
    let mut file = std::fs::File::open(path).ok()?;
    let start = file
        .metadata()
        .ok()?
        .len()
        .saturating_sub(u64::try_from(limit).ok()?);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).ok()?;
    let label = path.display().to_string();
    Some(LogTail::new(label, String::from_utf8_lossy(&end)).cut(start > 0))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let state = arguments
        .next()
        .ok_or("usage: web-page STATE FUNCTION=PROGRAM...")?;
    let mut config = ServiceConfig::new(state).web_page(WebPage::new().logs(Arc::new(Files)));
    for argument in arguments {
        let (name, program) = argument
            .split_once('=')
            .ok_or("a function is NAME=PROGRAM")?;
        config = config.function(FunctionConfig::process(
            name,
            program,
            std::iter::empty::<&str>(),
        ));
    }
    let service = Service::start(config).await?;
    println!("{}", service.url());
    std::io::stdout().flush()?;
    std::future::pending::<()>().await;
    Ok(())
}

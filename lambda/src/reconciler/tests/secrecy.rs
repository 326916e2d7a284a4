//! The callback token is in no log, no error and no answer.

use tracing_subscriber::filter::LevelFilter;

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn whatever_happens_the_token_is_told_to_nobody_else() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut events = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/events")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        events += 1;
        for works in [true, false] {
            let mut callbacks = MockCallbackApi::new();
            let answer = move || works.then_some(()).ok_or(CallbackApiError::new("no"));
            callbacks
                .expect_is_open()
                .returning(move |_| answer().map(|()| true));
            callbacks
                .expect_fail()
                .returning(move |_, _| answer().map(|()| Delivery::Accepted));
            let mut backend = backend("ecs");
            backend.expect_list().returning(|_| Ok(Vec::new()));
            let runner = JobRunner::new(Arc::new(backend));
            let reconciler = with_runner(runner, callbacks, &QuickClock::at(Duration::ZERO));
            let event = serde_json::from_str(&text).unwrap();
            let done = reconciler.handle(event).await;
            tracing::info!(?done, ?reconciler);
            if let Err(error) = done {
                tracing::info!(error = crate::error::full_message(&error));
            }
        }
    }
    let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(events > 30 && written.contains("Longhaul.OutOfMemory"));
    assert!(written.contains("its own word is waited for"), "{written}");
    assert!(!written.contains(TOKEN));
    assert!(!written.contains("a token"), "the other token");
}

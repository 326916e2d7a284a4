//! The signals by which a platform or a person asks the worker to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// The signals that ask the worker to stop, as they come: SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    numbers: mpsc::Receiver<i32>,
}

impl Signals {
    /// Takes the process's SIGTERM and SIGINT. From then on they no longer end the process.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the operating system refuses the handlers.
    pub fn install() -> io::Result<Self> {
        let (sender, signals) = Self::channel();
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let mut stream = signal(kind)?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    if sender.send(kind.as_raw_value()).await.is_err() {
                        break;
                    }
                }
            });
        }
        Ok(signals)
    }

    /// Takes the signals, or logs why that cannot be.
    pub(crate) fn install_or_none() -> Self {
        Self::install().unwrap_or_else(|error| {
            tracing::error!("cannot listen for signals: {error}");
            Self::channel().1
        })
    }

    /// Signals from elsewhere: the numbers that are sent. A dropped sender is silence.
    #[must_use]
    pub fn channel() -> (mpsc::Sender<i32>, Self) {
        let (sender, numbers) = mpsc::channel(8);
        (sender, Self { numbers })
    }

    /// The next signal's number.
    pub(crate) async fn next(&mut self) -> i32 {
        match self.numbers.recv().await {
            Some(number) => number,
            None => std::future::pending().await,
        }
    }
}

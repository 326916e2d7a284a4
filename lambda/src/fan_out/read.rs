//! Reading the results of many jobs.

use std::sync::Arc;

use longhaul_core::{CallbackResult, PayloadError};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::outcome::JobEnd;
use super::report::FanOutReport;
use crate::runner::JobRunner;
use crate::stored;

/// How many results are read from the payload store at once.
const READS: usize = 16;

impl JobRunner {
    /// The same report with every result read as a `T`. Jobs whose result cannot be read are
    /// failed ones.
    pub(crate) async fn read_all<T: DeserializeOwned>(
        &self,
        report: FanOutReport<CallbackResult>,
    ) -> FanOutReport<T> {
        let mut texts = self.texts(&report).await;
        let ends = report.jobs.into_iter().zip(texts.drain(..));
        let jobs = ends
            .map(|(end, text)| match end {
                JobEnd::Succeeded(report) => match report.read_as(text) {
                    Ok(report) => JobEnd::Succeeded(report),
                    Err(error) => JobEnd::Failed(error),
                },
                JobEnd::Failed(error) => JobEnd::Failed(error),
                JobEnd::Unfinished { handle } => JobEnd::Unfinished { handle },
            })
            .collect();
        FanOutReport {
            jobs,
            met: report.met,
            ended_early: report.ended_early,
            unstopped: report.unstopped,
        }
    }

    /// The texts of the results that are in the payload store, by job.
    async fn texts(
        &self,
        report: &FanOutReport<CallbackResult>,
    ) -> Vec<Result<Option<String>, PayloadError>> {
        let mut texts: Vec<_> = report.jobs.iter().map(|_| Ok(None)).collect();
        let places = Arc::new(Semaphore::new(READS));
        let mut reads = JoinSet::new();
        for (index, result) in report.results() {
            if let CallbackResult::Reference(uri) = result {
                let (store, uri, places) = (self.store.clone(), uri.clone(), Arc::clone(&places));
                reads.spawn(async move {
                    let _place = places.acquire_owned().await;
                    (index, stored::read(store.as_deref(), &uri).await)
                });
            }
        }
        while let Some(read) = reads.join_next().await {
            if let Ok((index, text)) = read
                && let Some(place) = texts.get_mut(index)
            {
                *place = text.map(Some);
            }
        }
        texts
    }
}

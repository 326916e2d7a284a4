//! Reading the results of many jobs.

use std::sync::Arc;

use longhaul_core::{
    CallbackResult, CallbackToken, ExecutionId, PayloadError, PayloadErrorKind, PayloadKey,
    PayloadKind, contract,
};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::outcome::JobEnd;
use super::report::FanOutReport;
use crate::ExecutionError;
use crate::runner::JobRunner;
use crate::stored::{self, MAX_EXECUTION_RESULT, StoredResult};

/// How many results are read from the payload store at once.
const READS: usize = 16;

/// The error of a function whose report cannot be written as JSON.
pub(crate) fn unwritten(error: serde_json::Error) -> ExecutionError {
    ExecutionError::new(
        "Longhaul.InvalidResult",
        format!("the report cannot be written: {error}"),
    )
}

/// The error of a function whose report fits neither its execution nor the payload store.
pub(crate) fn unkept(error: &PayloadError) -> ExecutionError {
    ExecutionError::new(
        format!("Longhaul.Payload.{}", error.kind()),
        error.full_message(),
    )
}

impl JobRunner {
    /// Puts what became of many jobs into the payload store: for an execution that cannot return
    /// it. An execution has one such report, its result.
    pub(crate) async fn put_report(
        &self,
        execution: ExecutionId,
        report: &str,
    ) -> Result<StoredResult, PayloadError> {
        let Some(store) = self.setup.store.as_deref() else {
            return Err(PayloadError::new(
                PayloadErrorKind::TooLarge,
                format!(
                    "return the report: its {} bytes are more than the {MAX_EXECUTION_RESULT} of an execution, and there \
                     is no payload store: set {} for the function, or run fewer jobs",
                    report.len(),
                    contract::PAYLOAD_STORE,
                ),
            ));
        };
        // No callback has this token: it is no identifier of one.
        let place = CallbackToken::new("cmVwb3J0").map_err(|error| {
            PayloadError::new(PayloadErrorKind::InvalidUri, "name the report").with_source(error)
        })?;
        let key = PayloadKey::new(execution, place.start_key(), PayloadKind::Result);
        let longhaul_payload = stored::put(store, &key, report).await?;
        Ok(StoredResult { longhaul_payload })
    }

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
                let (store, uri, places) =
                    (self.setup.store.clone(), uri.clone(), Arc::clone(&places));
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

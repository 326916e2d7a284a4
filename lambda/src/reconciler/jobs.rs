//! A job has ended: its callback is failed, unless its worker has spoken or is about to.

use std::time::{Duration, SystemTime};

use longhaul_core::{FailureClass, JobFailure};

use super::{Delivery, EndedJob, ReconcileError, Reconciled, Reconciler};

impl Reconciler {
    /// Fails the callback of a job that ended. `told_at` is when the platform told so.
    pub(super) async fn job_ended(
        &self,
        ended: EndedJob,
        told_at: Option<SystemTime>,
    ) -> Result<Reconciled, ReconcileError> {
        let EndedJob {
            job,
            token,
            failure,
            execution,
            ended_at,
        } = ended;
        let execution = execution.map(tracing::field::display);
        let grace = self.left(self.grace_for(&failure), ended_at.or(told_at));
        if !grace.is_zero() {
            match self.callbacks.is_open(&token).await {
                Ok(true) => {
                    tracing::info!(%job, execution, %failure, ?grace, "the job has ended: its own word is waited for");
                }
                Ok(false) => return Ok(Reconciled::CallbackClosed { job }),
                // The failure, which is sent next, tells in any case.
                Err(error) => {
                    tracing::warn!(%job, execution, %error, "whether the callback is open is not known");
                }
            }
            self.clock.sleep(grace).await;
        }
        match self.callbacks.fail(&token, &failure).await {
            Ok(Delivery::Accepted) => Ok(Reconciled::CallbackFailed {
                job,
                error_type: failure.error_type().to_owned(),
            }),
            Ok(Delivery::Closed) => Ok(Reconciled::CallbackClosed { job }),
            Err(source) => Err(ReconcileError::Callback { job, source }),
        }
    }

    /// How long the worker's own word is waited for after such an end.
    fn grace_for(&self, failure: &JobFailure) -> Duration {
        match (failure.class, failure.exit_code) {
            // The platform knows this better than the worker could.
            (FailureClass::OutOfMemory | FailureClass::FailedToStart, _) => Duration::ZERO,
            // For all that is known, it did its work and said so. That it was told to stop just
            // then does not speak against it.
            (FailureClass::Lost, _) | (_, Some(0)) => self.grace,
            // It knows more than its exit code, and may be saying it.
            (FailureClass::Failed, _) => self.grace.min(Self::REPORT_GRACE),
            _ => Duration::ZERO,
        }
    }
}

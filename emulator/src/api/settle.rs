//! Whether a service has something to do, for those who move its clock.

use crate::error::ApiError;
use crate::model::Timestamp;

use super::Api;

/// What a service does until its clock is moved or it is asked for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// An invocation runs or is about to: the next [`ServiceEvent`](crate::ServiceEvent) may change that.
    Busy,
    /// Nothing, until this moment; `None` when no execution is open.
    Until(Option<Timestamp>),
}

impl Api {
    /// Does what is due by the service's clock, and says whether anything is left to do before the clock moves.
    ///
    /// With a [`TestClock`](crate::TestClock) this is how to run a month in a moment without passing over anything: the
    /// clock may be advanced to the moment in [`Settled::Until`], and while the answer is [`Settled::Busy`] it should not be
    /// moved at all.
    ///
    /// # Errors
    ///
    /// `Service` when the state cannot be written, or the service stops.
    pub async fn settle(&self) -> Result<Settled, ApiError> {
        self.engine.call(|engine| engine.settle()).await
    }
}

//! The words of the durable API: identifiers, operations, updates, events, and how each looks on the wire.

pub(crate) mod event;
pub(crate) mod id;
pub(crate) mod operation;
pub(crate) mod time;
pub(crate) mod update;

pub use event::{
    Event, EventDetails, EventError, EventInput, EventOperation, EventResult, RetryDetails,
};
pub use id::{CallbackId, ExecutionArn, InvalidId};
pub use operation::OperationStatus;
pub use time::Timestamp;
pub use update::{ErrorObject, OperationType};

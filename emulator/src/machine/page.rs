//! Pages of an execution's operations, for a handler that replays them.

use std::collections::HashSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::ApiError;
use crate::model::Timestamp;
use crate::model::operation::{Kind, Operation};

use super::{Execution, Gate, World};

/// Some of an execution's operations, in the order they started.
#[derive(Debug, Clone)]
pub(crate) struct StatePage {
    /// True on the first page: the EXECUTION operation comes before the others.
    pub(crate) first: bool,
    pub(crate) operations: Vec<Arc<Operation>>,
    pub(crate) next: Option<String>,
}

/// How long a marker can be used: `Marker` in the API model.
const MARKER_LIFE_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// A place in a listing, opaque to callers. `kind` keeps one listing's marker from being used in another.
pub(crate) fn marker(kind: char, position: &str, now: Timestamp) -> String {
    URL_SAFE_NO_PAD.encode(format!("{kind}.{}.{position}", now.as_millis()))
}

/// The position in a marker of this kind that is not older than a day.
pub(crate) fn read_marker(kind: char, marker: &str, now: Timestamp) -> Result<String, ApiError> {
    let invalid = || ApiError::invalid("Invalid marker");
    let bytes = URL_SAFE_NO_PAD.decode(marker).map_err(|_| invalid())?;
    let text = String::from_utf8(bytes).map_err(|_| invalid())?;
    let mut parts = text.splitn(3, '.');
    let (Some(found), Some(issued), Some(position)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(invalid());
    };
    let issued: i64 = issued.parse().map_err(|_| invalid())?;
    let mut letter = [0; 4];
    if found != kind.encode_utf8(&mut letter)
        || now.as_millis().saturating_sub(issued) > MARKER_LIFE_MILLIS
    {
        return Err(invalid());
    }
    Ok(position.to_owned())
}

/// A page for the handler of the invocation that runs now.
pub(crate) fn state(
    execution: &Execution,
    token: &str,
    from: Option<&str>,
    max_items: usize,
    max_bytes: usize,
    world: &World<'_>,
) -> Result<StatePage, ApiError> {
    let current = matches!(&execution.progress.gate, Gate::Running(running) if running.token.as_str() == token);
    if execution.is_closed() || !current {
        return Err(ApiError::stale_token());
    }
    let from = match from {
        Some(marker) => Some(
            read_marker('s', marker, world.now)?
                .parse::<usize>()
                .map_err(|_| ApiError::invalid("Invalid marker"))?,
        ),
        None => None,
    };
    Ok(page(execution, from, max_items, max_bytes, world.now))
}

/// Operations from `from` on (the EXECUTION operation first when there is no `from`), within both bounds, at least one.
pub(super) fn page(
    execution: &Execution,
    from: Option<usize>,
    max_items: usize,
    max_bytes: usize,
    now: Timestamp,
) -> StatePage {
    let mut page = StatePage {
        first: from.is_none(),
        operations: Vec::new(),
        next: None,
    };
    let (mut items, mut bytes) = if page.first {
        (1, execution.origin.input.len())
    } else {
        (0, 0)
    };
    let hidden = hidden(execution.operations());
    for (position, operation) in execution
        .operations()
        .iter()
        .enumerate()
        .skip(from.unwrap_or(0))
    {
        if hidden.get(position).copied().unwrap_or(false) {
            continue;
        }
        let weight = operation.weight();
        if items > 0 && (items >= max_items || bytes.saturating_add(weight) > max_bytes) {
            page.next = Some(marker('s', &position.to_string(), now));
            break;
        }
        items += 1;
        bytes += weight;
        page.operations.push(Arc::clone(operation));
    }
    page
}

/// Which operations lie inside a context that is completed and need not be replayed.
fn hidden(operations: &[Arc<Operation>]) -> Vec<bool> {
    let mut hidden: Vec<bool> = Vec::with_capacity(operations.len());
    // Ids of contexts whose children are not shown. Parents start before their children, so one pass is enough.
    let mut sealed: HashSet<&str> = HashSet::new();
    for operation in operations {
        let inside = operation
            .parent
            .as_deref()
            .is_some_and(|parent| sealed.contains(parent));
        hidden.push(inside);
        if let Kind::Context(context) = &operation.kind
            && (inside || (operation.status.is_terminal() && !context.replay_children))
        {
            sealed.insert(&operation.id);
        }
    }
    hidden
}

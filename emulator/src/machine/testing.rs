//! A bench for the state machine: one execution, a clock that is moved by hand, and everything it did on record.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::*;
use crate::config::DurableConfig;
use crate::error::ApiError;
use crate::model::ErrorObject;
use crate::model::update::OperationUpdate;

pub(super) struct Others;

impl Resolve for Others {
    fn resolve(&self, name: &FunctionName) -> Option<Target> {
        (name.name == "other").then(|| Target {
            name: "other".into(),
            version: "$LATEST".into(),
            durable: DurableConfig::default(),
        })
    }
}

/// A minimal update.
pub(super) fn update(id: &str, kind: &str, action: &str) -> Value {
    json!({"Id": id, "Type": kind, "Action": action})
}

pub(super) struct Bench {
    pub(super) execution: Execution,
    pub(super) now: Timestamp,
    pub(super) events: Vec<Event>,
    pub(super) children: Vec<Origin>,
    pub(super) invokes: usize,
    rng: StdRng,
}

macro_rules! world {
    ($bench:ident) => {
        World {
            now: $bench.now,
            rng: &mut $bench.rng,
            region: "us-east-1",
            account: "000000000000",
            retry: InvocationRetry::default(),
            functions: &Others,
        }
    };
}

impl Bench {
    pub(super) fn new() -> Self {
        let now = Timestamp::from_millis(1_000_000);
        let origin = Origin {
            arn: ExecutionArn::from_parts(
                "us-east-1",
                "000000000000",
                "job",
                "$LATEST",
                "name",
                "id",
            ),
            version: "$LATEST".into(),
            started: now,
            deadline: now.after_seconds(100),
            execution_timeout: 100,
            retention_days: 1,
            trace: "Root=1".into(),
            tenant: None,
            synchronous: false,
            parent: None,
            input: "{\"n\":1}".into(),
        };
        let (execution, transition) = start(1, origin);
        let mut bench = Self {
            execution,
            now,
            events: Vec::new(),
            children: Vec::new(),
            invokes: 0,
            rng: StdRng::seed_from_u64(7),
        };
        bench.apply(transition);
        bench
    }

    /// Applies a transition, after seeing that it can be taken back without a trace.
    pub(super) fn apply(&mut self, transition: Transition) {
        let before = self.execution.clone();
        let undo = self.execution.apply(&transition);
        self.execution.undo(undo);
        let after = &self.execution;
        assert_eq!(
            after.progress, before.progress,
            "an undone transition leaves no trace"
        );
        assert_eq!(after.operations, before.operations);
        assert_eq!(after.positions, before.positions);
        assert_eq!(after.timers, before.timers);
        assert_eq!(
            (&after.outcome, &after.replay),
            (&before.outcome, &before.replay)
        );
        self.execution.apply(&transition);
        self.events.extend(transition.events);
        for effect in transition.effects {
            match effect {
                Effect::Invoke => self.invokes += 1,
                Effect::StartChild(child) => self.children.push(child.origin),
                Effect::Closed => assert!(self.execution.is_closed()),
            }
        }
    }

    pub(super) fn advance(&mut self, millis: u64) {
        self.now = self.now.after(Duration::from_millis(millis));
    }

    pub(super) fn event_types(&self) -> Vec<&str> {
        self.events
            .iter()
            .map(|event| event.details.event_type())
            .collect()
    }

    pub(super) fn last_type(&self) -> &str {
        self.events.last().unwrap().details.event_type()
    }

    pub(super) fn last_event(&self) -> Value {
        serde_json::to_value(self.events.last().unwrap()).unwrap()
    }

    pub(super) fn try_begin(&mut self) -> Option<Begun> {
        let mut world = world!(self);
        let (transition, begun) = begin(&self.execution, usize::MAX, &mut world)?;
        self.apply(transition);
        Some(begun)
    }

    pub(super) fn begin(&mut self) -> Begun {
        self.try_begin().expect("an invocation is wanted")
    }

    pub(super) fn token(&self) -> CheckpointToken {
        match &self.execution.progress.gate {
            Gate::Running(running) => running.token.clone(),
            _ => CheckpointToken::parse("bm9uZQ==").unwrap(),
        }
    }

    pub(super) fn request(
        &self,
        updates: &[Value],
        client_token: Option<&str>,
    ) -> CheckpointRequest {
        let parse =
            |update: &Value| serde_json::from_value::<OperationUpdate>(update.clone()).unwrap();
        CheckpointRequest {
            token: self.token(),
            client_token: client_token.map(Into::into),
            updates: updates.iter().map(parse).collect(),
        }
    }

    pub(super) fn send(&mut self, request: &CheckpointRequest) -> Result<(Bytes, bool), ApiError> {
        let mut world = world!(self);
        match checkpoint(&self.execution, request, &mut world)? {
            Checkpointed::Repeated(bytes) => Ok((bytes, true)),
            Checkpointed::Applied(transition, bytes) => {
                self.apply(*transition);
                Ok((bytes, false))
            }
        }
    }

    pub(super) fn checkpoint(&mut self, updates: &[Value]) -> Result<Value, ApiError> {
        let request = self.request(updates, None);
        let (bytes, _) = self.send(&request)?;
        Ok(serde_json::from_slice(&bytes).unwrap())
    }

    pub(super) fn end(&mut self, result: &InvocationResult) {
        let Gate::Running(running) = &self.execution.progress.gate else {
            return;
        };
        let id = running.request_id.clone();
        let world = world!(self);
        assert!(ended(&self.execution, "another", result, &world).is_none());
        let transition = ended(&self.execution, &id, result, &world)
            .expect("the end of the invocation that runs");
        self.apply(transition);
    }

    pub(super) fn end_output(&mut self, output: Value) {
        self.end(&InvocationResult::Output(output.to_string().into()));
    }

    pub(super) fn end_pending(&mut self) {
        self.end_output(json!({"Status": "PENDING"}));
    }

    pub(super) fn end_failed(&mut self, error_type: &str) {
        self.end(&InvocationResult::Failed(ErrorObject::new(
            error_type,
            "it failed",
        )));
    }

    pub(super) fn tick(&mut self) -> bool {
        let world = world!(self);
        match due(&self.execution, &world) {
            Some(transition) => {
                self.apply(transition);
                true
            }
            None => false,
        }
    }

    pub(super) fn callback(
        &mut self,
        operation: &str,
        action: &CallbackAction,
    ) -> Result<(), ApiError> {
        let position = self.execution.position(operation).unwrap_or(usize::MAX);
        let world = world!(self);
        let transition = callback(&self.execution, position, action, &world)?;
        self.apply(transition);
        Ok(())
    }

    pub(super) fn child_closed(&mut self, operation: &str, outcome: &Outcome) -> bool {
        let world = world!(self);
        match child_closed(&self.execution, operation, outcome, 60, &world) {
            Some(transition) => {
                self.apply(transition);
                true
            }
            None => false,
        }
    }

    pub(super) fn stop(&mut self, error: Option<ErrorObject>) -> Timestamp {
        let world = world!(self);
        let (transition, at) = stop(&self.execution, error.as_ref(), &world);
        if let Some(transition) = transition {
            self.apply(transition);
        }
        at
    }

    pub(super) fn control(
        &mut self,
        request: &ControlRequest,
        again: bool,
    ) -> Result<bool, ApiError> {
        let world = world!(self);
        let transition = if again {
            resume(&self.execution, request, &world)?
        } else {
            pause(&self.execution, request, &world)?
        };
        let done = transition.is_some();
        if let Some(transition) = transition {
            self.apply(transition);
        }
        Ok(done)
    }

    pub(super) fn page(
        &mut self,
        marker: Option<&str>,
        max_items: usize,
    ) -> (Vec<String>, Option<String>) {
        let token = self.token();
        let world = world!(self);
        let page = state(
            &self.execution,
            token.as_str(),
            marker,
            max_items,
            usize::MAX,
            &world,
        )
        .unwrap();
        (
            page.operations
                .iter()
                .map(|operation| operation.id.clone())
                .collect(),
            page.next,
        )
    }

    /// Writes the execution down, reads it back, and recovers it, as a restart does.
    pub(super) fn restart(&mut self) {
        let origin = self.execution.origin.as_ref();
        let mut read: Origin =
            serde_json::from_str(&serde_json::to_string(origin).unwrap()).unwrap();
        read.input = Arc::clone(&origin.input);
        let progress =
            serde_json::from_str(&serde_json::to_string(&self.execution.progress).unwrap())
                .unwrap();
        let outcome =
            serde_json::from_str(&serde_json::to_string(&self.execution.outcome).unwrap()).unwrap();
        let read_operation = |operation: &Arc<Operation>| {
            Arc::new(
                serde_json::from_str(&serde_json::to_string(operation.as_ref()).unwrap()).unwrap(),
            )
        };
        let operations = self
            .execution
            .operations()
            .iter()
            .map(read_operation)
            .collect();
        let replay = self.execution.replay.clone();
        let restored = Execution::restore(1, Arc::new(read), progress, outcome, replay, operations);
        assert_eq!(restored.operations(), self.execution.operations());
        assert_eq!(restored.progress, self.execution.progress);
        assert_eq!(restored.timers, self.execution.timers);
        self.execution = restored;
        if let Some(transition) = recover(&self.execution, self.now) {
            self.apply(transition);
            self.invokes += usize::from(self.execution.progress.gate == Gate::Queued);
        }
    }
}

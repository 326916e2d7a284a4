//! One job in memory: what it was given, when its next moment is, and what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use longhaul_core::{
    CallbackToken, ExecutionId, FailureClass, Job, JobFailure, JobHandle, JobState, JobStatus,
    JobTimes, StartKey, contract,
};
use longhaul_emulator::Timestamp;
use serde_json::Value;

use crate::Fault;

/// What a job's closure is given: what a worker finds in its environment, but for the token.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JobCall {
    /// The job's name.
    pub name: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The input.
    pub input: Value,
    /// The command, where the job has one.
    pub command: Option<Vec<String>>,
    /// The environment of the worker contract (see [`contract`](longhaul_core::contract)), without the callback token.
    pub environment: BTreeMap<String, String>,
}

impl JobCall {
    pub(crate) fn new(job: &Job, token: &CallbackToken) -> Self {
        let environment = job.environment(token);
        let visible = environment
            .iter()
            .filter(|(name, _)| *name != contract::CALLBACK_ID);
        Self {
            name: job.name().to_string(),
            attempt: job.attempt(),
            input: job.input().clone(),
            command: job.spec().command.clone(),
            environment: visible
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

/// What a job does, once its time is over.
pub(crate) type Body = Arc<dyn Fn(&JobCall) -> Result<Value, Box<JobFailure>> + Send + Sync>;

/// How a job's life ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Reported(Result<Value, Box<JobFailure>>),
    Vanished,
    Stopped,
}

/// What a job does at its next moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Heartbeat,
    End,
}

/// A job that was started.
pub(crate) struct Record {
    pub(crate) handle: JobHandle,
    pub(crate) key: StartKey,
    pub(crate) execution: ExecutionId,
    pub(crate) token: CallbackToken,
    pub(crate) call: JobCall,
    pub(crate) body: Body,
    pub(crate) faults: Vec<Fault>,
    started: Timestamp,
    ends: Option<Timestamp>,
    /// How often it says that it is alive, and when it does so next.
    beat: Option<(Duration, Timestamp)>,
    pub(crate) end: Option<(Timestamp, End)>,
}

/// What a job is made of.
pub(crate) struct Parts {
    pub(crate) handle: JobHandle,
    pub(crate) body: Body,
    pub(crate) faults: Vec<Fault>,
    pub(crate) lasting: Option<Duration>,
}

impl Record {
    pub(crate) fn start(parts: Parts, job: &Job, token: &CallbackToken, now: Timestamp) -> Self {
        let has = |fault| parts.faults.contains(&fault);
        let hangs = has(Fault::HeartbeatStops);
        let at_once = has(Fault::ResultBeforeSuspension).then_some(Duration::ZERO);
        let lasting = at_once
            .or(parts.lasting)
            .filter(|_| !hangs && !has(Fault::NeverEnds));
        // As often as the supervisor: a heartbeat is a third of its timeout away from the last.
        let every = job
            .heartbeat()
            .map(|timeout| timeout / 3)
            .filter(|_| !hangs);
        Self {
            handle: parts.handle,
            key: job.start_key().clone(),
            execution: job.execution().clone(),
            token: token.clone(),
            call: JobCall::new(job, token),
            body: parts.body,
            faults: parts.faults,
            started: now,
            ends: lasting.map(|duration| now.after(duration)),
            beat: every.map(|every| (every, now.after(every))),
            end: None,
        }
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    pub(crate) fn runs(&self) -> bool {
        self.end.is_none()
    }

    /// When the job does something next by itself.
    pub(crate) fn next(&self) -> Option<(Timestamp, Act)> {
        if !self.runs() {
            return None;
        }
        let end = self.ends.map(|at| (at, Act::End));
        let beat = self.beat.map(|(_, at)| (at, Act::Heartbeat));
        match (end, beat) {
            // Both at once: what has a result need not say that it is alive.
            (Some(end), Some(beat)) => Some(if beat.0 < end.0 { beat } else { end }),
            (one, other) => one.or(other),
        }
    }

    /// Notes that a heartbeat was sent.
    pub(crate) fn beaten(&mut self) {
        if let Some((every, at)) = &mut self.beat {
            *at = at.after(*every);
        }
    }

    /// Ends the job as it ends by itself, `now` or earlier.
    pub(crate) fn finish(&mut self, now: Timestamp) {
        let end = if self.has(Fault::DiesSilently) {
            End::Vanished
        } else {
            End::Reported((self.body)(&self.call))
        };
        self.end = Some((self.ends.unwrap_or(now), end));
    }

    /// When the job ran, where its function reads that.
    pub(crate) fn ran(&self) -> Option<JobTimes> {
        let (ended, _) = self.end.as_ref()?;
        self.call.environment.get(contract::TIMES)?;
        Some(JobTimes::new(
            system_time(self.started),
            system_time(*ended),
        ))
    }

    /// What the platform knows of the job.
    pub(crate) fn status(&self) -> JobStatus {
        let Some((at, end)) = &self.end else {
            let mut status = JobStatus::new(JobState::Running);
            status.started_at = Some(system_time(self.started));
            return status;
        };
        let mut status = JobStatus::new(JobState::Ended);
        status.started_at = Some(system_time(self.started));
        status.ended_at = Some(system_time(*at));
        match end {
            End::Reported(Ok(_)) => {
                status.exit_code = Some(0);
                // Of interest only to somebody who waits for a report that did not come.
                status.failure = Some(
                    JobFailure::new(FailureClass::Lost)
                        .with_exit_code(0)
                        .with_message("the job ended with exit code 0"),
                );
            }
            End::Reported(Err(failure)) => {
                status.exit_code = failure.exit_code;
                status.signal = failure.signal;
                status.failure = Some((**failure).clone());
            }
            End::Vanished => {
                status.failure =
                    Some(JobFailure::new(FailureClass::Lost).with_message("the job was killed"));
            }
            End::Stopped => status.failure = Some(JobFailure::new(FailureClass::Cancelled)),
        }
        status
    }
}

pub(crate) fn system_time(at: Timestamp) -> SystemTime {
    let millis = u64::try_from(at.as_millis()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

//! Which jobs go into which part: by their number, and by what a chained execution can be given.

use std::ops::Range;

use longhaul_core::JobSpec;
use serde::Serialize;
use serde_json::Value;

use super::{ChainedOptions, MAX_JOBS, RunAllError};

/// The most parts that one execution can have, of the 3,000 operations that it can have: the
/// others are for what else the function does.
pub const MAX_PARTS: usize = 2_600;

/// The largest event of a chained execution, in bytes: 1 MB (Lambda API, `OperationUpdate.Payload`).
pub(super) const MAX_EVENT: usize = 1_000_000;

/// What is kept of it for all that is not jobs: names, the rule, counts.
const ENVELOPE: usize = 4_096;

/// What the members around a spec and its inputs take at most, in bytes.
const MEMBERS: usize = 32;

/// A job, its input apart: many share the rest.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) spec: JobSpec,
    pub(super) input: Value,
}

impl Job {
    pub(super) fn new(mut spec: JobSpec) -> Self {
        let input = std::mem::take(&mut spec.input);
        Self { spec, input }
    }
}

/// The parts. They depend on nothing but the jobs and the options, so a replay finds the same.
pub(super) fn split(
    jobs: &[Job],
    options: &ChainedOptions,
) -> Result<Vec<Range<usize>>, RunAllError> {
    let most = options.jobs_in_part;
    let invalid = |problem: String| RunAllError::InvalidOptions { problem };
    if !(1..=MAX_JOBS).contains(&most) {
        return Err(invalid(format!(
            "{most} jobs in a part cannot be run: use 1 to {MAX_JOBS}"
        )));
    }
    if options.parts_at_once == 0 {
        return Err(invalid(
            "no parts at once is none at all: use 1 or more".to_owned(),
        ));
    }
    let mut parts = Vec::with_capacity(jobs.len().div_ceil(most));
    let (mut first, mut size) = (0, ENVELOPE);
    for (index, job) in jobs.iter().enumerate() {
        let input = written(&job.input) + 1;
        let whole = input + written(&job.spec) + MEMBERS;
        if ENVELOPE + whole > MAX_EVENT {
            return Err(RunAllError::TooLarge {
                index,
                job: job.spec.name.clone(),
                bytes: whole,
            });
        }
        let before = index.checked_sub(1).and_then(|before| jobs.get(before));
        let alike = before.is_some_and(|before| before.spec == job.spec);
        let adds = if alike && index > first { input } else { whole };
        if index - first == most || size + adds > MAX_EVENT {
            parts.push(first..index);
            (first, size) = (index, ENVELOPE + whole);
        } else {
            size += adds;
        }
    }
    if first < jobs.len() {
        parts.push(first..jobs.len());
    }
    if parts.len() > MAX_PARTS {
        return Err(invalid(format!(
            "{} jobs are {} parts, more than the {MAX_PARTS} that one execution can have: use more jobs in a part, or \
             smaller specs and inputs",
            jobs.len(),
            parts.len()
        )));
    }
    Ok(parts)
}

/// How many bytes a value takes as JSON. What cannot be written takes more than there are.
fn written(value: &impl Serialize) -> usize {
    struct Counted(usize);
    impl std::io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    match serde_json::to_writer(&mut counted, value) {
        Ok(()) => counted.0,
        Err(_) => MAX_EVENT,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use longhaul_core::JobName;
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::part::Part;
    use super::*;
    use crate::RunAllOptions;
    use crate::fan_out::rule::Count;

    fn specs(names: &[u8], input: usize) -> Vec<Job> {
        let names = names.iter();
        let specs = names.map(|name| {
            JobSpec::new(JobName::from_text(&format!("job{name}")))
                .with_input(json!("x".repeat(input)))
        });
        specs.map(Job::new).collect()
    }

    fn event(jobs: &[Job], part: Range<usize>) -> String {
        let jobs: Vec<_> = jobs[part]
            .iter()
            .map(|job| Job::new(job.spec.clone().with_input(job.input.clone())))
            .collect();
        let all = 0..jobs.len();
        Part::event_of(&Arc::new(jobs), all, &RunAllOptions::new(), Count::of(1))().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_job_is_in_one_part_which_its_event_can_carry(
            names in prop::collection::vec(0..2_u8, 0..60),
            input in 0..90_000_usize,
            most in 1..40_usize,
        ) {
            let jobs = specs(&names, input);
            let options = ChainedOptions::default().jobs_in_part(most);
            let parts = split(&jobs, &options).unwrap();
            let all: Vec<usize> = parts.iter().cloned().flatten().collect();
            prop_assert_eq!(all, (0..jobs.len()).collect::<Vec<_>>());
            for part in parts {
                prop_assert!((1..=most).contains(&part.len()));
                prop_assert!(event(&jobs, part).len() <= MAX_EVENT);
            }
        }
    }

    #[test]
    fn a_job_that_no_event_can_carry_is_refused_by_its_number() {
        let mut jobs = specs(&[0, 0], 10);
        jobs.extend(specs(&[0], 1_000_000));
        match split(&jobs, &ChainedOptions::default()) {
            Err(RunAllError::TooLarge { index: 2, .. }) => {}
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn more_parts_than_an_execution_can_have_are_refused() {
        let jobs = specs(&[0; MAX_PARTS + 1], 1);
        let options = ChainedOptions::default().jobs_in_part(1);
        let refused = split(&jobs, &options).unwrap_err();
        assert!(refused.to_string().contains("2600"), "{refused}");
    }

    #[test]
    fn the_spec_that_jobs_share_is_sent_once() {
        let jobs = specs(&[0, 0, 0, 1], 3);
        let event = event(&jobs, 0..4);
        assert_eq!(event.matches("job0").count(), 1, "{event}");
        let read = Part::of(&serde_json::from_str(&event).unwrap()).unwrap();
        let again = read.unwrap().into_jobs().0;
        let jobs = jobs.into_iter().map(|job| job.spec.with_input(job.input));
        assert_eq!(again, jobs.collect::<Vec<_>>());
    }
}

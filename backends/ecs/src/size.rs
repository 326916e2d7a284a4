//! Sizes of Fargate tasks: a job's resources as CPU units, MiB and GiB that Fargate has.
//!
//! Amazon ECS Developer Guide, "Amazon ECS task definition parameters for Fargate", "Task size".

use longhaul_core::{BackendError, BackendErrorKind, Resources};

use crate::overrides::EphemeralStorage;

/// CPU units to a vCPU.
const UNITS: f64 = 1024.0;

/// The scratch disk that every task has, in GiB.
const INCLUDED_STORAGE: u32 = 20;

/// The largest scratch disk, in GiB (ECS API, `EphemeralStorage`).
const MAX_STORAGE: u32 = 200;

/// CPU units with the least and the most memory in MiB that go with them, and the step between.
const SIZES: [(u32, u32, u32, u32); 7] = [
    (256, 512, 2048, 1024),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

/// What a job asks of its task, in the task definition's place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TaskSize {
    pub(crate) cpu: Option<u32>,
    pub(crate) memory: Option<u32>,
    pub(crate) storage: Option<EphemeralStorage>,
}

impl TaskSize {
    /// The size that `resources` ask for.
    ///
    /// Refuses only what Fargate surely has not; sizes beyond the table are left to ECS, which
    /// may have grown.
    pub(crate) fn new(resources: &Resources) -> Result<Self, BackendError> {
        if resources.gpus.is_some_and(|gpus| gpus > 0) {
            return Err(invalid(
                "resources.gpus: Fargate has no GPUs; run the job on AWS Batch",
            ));
        }
        let cpu = resources.vcpus.map(cpu_units).transpose()?;
        let memory = resources.memory_mib;
        check_memory(cpu, memory)?;
        Ok(Self {
            cpu,
            memory,
            storage: storage(resources.ephemeral_storage_gib)?,
        })
    }
}

fn cpu_units(vcpus: f64) -> Result<u32, BackendError> {
    let units = vcpus * UNITS;
    let largest = SIZES[SIZES.len() - 1].0;
    let known = SIZES.iter().map(|size| size.0);
    if let Some(cpu) = known.into_iter().find(|&cpu| f64::from(cpu) == units) {
        return Ok(cpu);
    }
    if units > f64::from(largest) && units <= f64::from(i32::MAX) && units.fract() == 0.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number within i32, checked above"
        )]
        return Ok(units as u32);
    }
    Err(invalid(format!(
        "resources.vcpus: Fargate has no size of {vcpus} vCPUs; use 0.25, 0.5, 1, 2, 4, 8 or 16"
    )))
}

fn check_memory(cpu: Option<u32>, memory: Option<u32>) -> Result<(), BackendError> {
    let Some(memory) = memory else { return Ok(()) };
    let fits = |&(_, least, most, step): &(u32, u32, u32, u32)| {
        // The smallest size has 512 MiB beside its multiples of 1 GiB.
        (least..=most).contains(&memory) && (memory % step == 0 || memory == least)
    };
    let Some(cpu) = cpu else {
        let largest = SIZES[SIZES.len() - 1].2;
        if memory > largest || SIZES.iter().any(&fits) {
            return Ok(());
        }
        return Err(invalid(format!(
            "resources.memory_mib: Fargate has no size of {memory} MiB; use {} MiB",
            memory.next_multiple_of(1024)
        )));
    };
    let Some(size) = SIZES.iter().find(|size| size.0 == cpu) else {
        return Ok(());
    };
    if fits(size) {
        return Ok(());
    }
    let (_, least, most, step) = *size;
    Err(invalid(format!(
        "resources.memory_mib: Fargate has no {memory} MiB with {} vCPUs; use {least} to {most} MiB in steps of {step}",
        f64::from(cpu) / UNITS
    )))
}

/// The scratch disk, unless what every task has is enough.
fn storage(gib: Option<u32>) -> Result<Option<EphemeralStorage>, BackendError> {
    match gib {
        None | Some(0..=INCLUDED_STORAGE) => Ok(None),
        Some(gib @ ..=MAX_STORAGE) => Ok(Some(EphemeralStorage {
            size_in_gib: i32::try_from(gib).unwrap_or(i32::MAX),
        })),
        Some(gib) => Err(invalid(format!(
            "resources.ephemeral_storage_gib: {gib} GiB are more than the {MAX_STORAGE} GiB that Fargate has"
        ))),
    }
}

fn invalid(message: impl Into<String>) -> BackendError {
    BackendError::new(BackendErrorKind::InvalidSpec, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(json: &str) -> Result<TaskSize, String> {
        let resources: Resources = serde_json::from_str(json).unwrap();
        TaskSize::new(&resources).map_err(|error| {
            assert_eq!(error.kind(), BackendErrorKind::InvalidSpec);
            error.to_string()
        })
    }

    #[test]
    fn resources_become_units_and_mebibytes() {
        let found = size(r#"{"vcpus":0.25,"memory_mib":512,"ephemeral_storage_gib":21}"#).unwrap();
        assert_eq!((found.cpu, found.memory), (Some(256), Some(512)));
        assert_eq!(found.storage.map(|s| s.size_in_gib), Some(21));
        assert_eq!(size("{}"), Ok(TaskSize::default()));
    }

    #[test]
    fn every_size_of_the_table_is_taken() {
        for (cpu, least, most, step) in SIZES {
            let memory = (least..=most).filter(|m| *m == least || m % step == 0);
            for memory in memory {
                let vcpus = f64::from(cpu) / 1024.0;
                let json = format!(r#"{{"vcpus":{vcpus},"memory_mib":{memory}}}"#);
                assert_eq!(
                    size(&json).map(|s| (s.cpu, s.memory)),
                    Ok((Some(cpu), Some(memory))),
                    "{json}"
                );
                assert!(size(&format!(r#"{{"memory_mib":{memory}}}"#)).is_ok());
            }
        }
    }

    #[test]
    fn what_fargate_has_not_is_refused_with_what_it_has() {
        for (json, part) in [
            (r#"{"vcpus":0.3}"#, "0.25, 0.5, 1"),
            (r#"{"vcpus":3}"#, "0.25, 0.5, 1"),
            (r#"{"vcpus":0.25,"memory_mib":4096}"#, "512 to 2048"),
            (r#"{"vcpus":0.25,"memory_mib":1536}"#, "steps of 1024"),
            (r#"{"vcpus":4,"memory_mib":7168}"#, "8192 to 30720"),
            (r#"{"vcpus":8,"memory_mib":17408}"#, "steps of 4096"),
            (r#"{"memory_mib":1500}"#, "use 2048 MiB"),
            (r#"{"memory_mib":100}"#, "use 1024 MiB"),
            (r#"{"gpus":1}"#, "no GPUs"),
            (r#"{"ephemeral_storage_gib":201}"#, "200 GiB"),
        ] {
            let error = size(json).unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        }
    }

    #[test]
    fn what_every_task_has_is_not_asked_for() {
        assert_eq!(size(r#"{"ephemeral_storage_gib":20,"gpus":0}"#), size("{}"));
    }

    #[test]
    fn a_size_beyond_the_table_is_left_to_ecs() {
        let found = size(r#"{"vcpus":32,"memory_mib":262144}"#).unwrap();
        assert_eq!((found.cpu, found.memory), (Some(32_768), Some(262_144)));
        assert!(size(r#"{"memory_mib":262144}"#).is_ok());
    }
}

//! What makes a spec one that can run, beyond its types.

use std::time::Duration;

use super::{InvalidSpec, JobSpec};
use crate::contract;

impl JobSpec {
    /// Checks what the types cannot.
    ///
    /// # Errors
    ///
    /// The first [`InvalidSpec`] found.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        self.check_command()?;
        self.check_environment()?;
        self.check_times()?;
        self.check_resources()?;
        if self.tags.len() > 40 {
            return Err(InvalidSpec::new(
                "tags",
                format!("{} tags are more than 40", self.tags.len()),
            ));
        }
        Ok(())
    }

    fn check_command(&self) -> Result<(), InvalidSpec> {
        let Some(command) = &self.command else {
            return Ok(());
        };
        if command.first().is_none_or(String::is_empty) {
            return Err(InvalidSpec::new(
                "command",
                "is empty: name a program, or leave the field out for the container's own command",
            ));
        }
        if let Some(at) = command.iter().position(|part| part.contains('\0')) {
            return Err(InvalidSpec::new(
                format!("command[{at}]"),
                "holds a NUL character, which no program can be given",
            ));
        }
        Ok(())
    }

    fn check_environment(&self) -> Result<(), InvalidSpec> {
        for (name, value) in &self.environment {
            let field = || format!("environment.{name}");
            if !contract::is_variable_name(name) {
                return Err(InvalidSpec::new(
                    field(),
                    "is not a variable name: use letters, digits and `_`, not a digit first",
                ));
            }
            if contract::is_reserved(name) {
                return Err(InvalidSpec::new(
                    field(),
                    "is set by longhaul for the worker: choose another name",
                ));
            }
            if value.contains('\0') {
                return Err(InvalidSpec::new(
                    field(),
                    "holds a NUL character, which no variable can",
                ));
            }
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), InvalidSpec> {
        if self.timeout < Duration::from_secs(1) || self.timeout > Self::MAX_TIMEOUT {
            return Err(InvalidSpec::new("timeout", "must be from 1 s to 366 days"));
        }
        if let Some(heartbeat) = self.heartbeat {
            if heartbeat.subsec_nanos() != 0 {
                return Err(InvalidSpec::new(
                    "heartbeat",
                    "must be whole seconds: the durable service counts in seconds",
                ));
            }
            if heartbeat >= self.timeout {
                return Err(InvalidSpec::new(
                    "heartbeat",
                    "must be less than the timeout",
                ));
            }
        }
        if self.timeout.subsec_nanos() != 0 {
            return Err(InvalidSpec::new(
                "timeout",
                "must be whole seconds: the durable service counts in seconds",
            ));
        }
        if let Some(deadline) = self.deadline {
            if deadline < Duration::from_secs(1) || deadline > Self::MAX_TIMEOUT {
                return Err(InvalidSpec::new("deadline", "must be from 1 s to 366 days"));
            }
            if deadline.subsec_nanos() != 0 {
                return Err(InvalidSpec::new(
                    "deadline",
                    "must be whole seconds: the durable service counts in seconds",
                ));
            }
        }
        if !(1..=100).contains(&self.retry.attempts) {
            return Err(InvalidSpec::new("retry.attempts", "must be from 1 to 100"));
        }
        if self.retry.max_backoff > Self::MAX_TIMEOUT {
            return Err(InvalidSpec::new(
                "retry.max_backoff",
                "must be at most 366 days",
            ));
        }
        if !(0.0..=1.0).contains(&self.retry.jitter) {
            return Err(InvalidSpec::new("retry.jitter", "must be from 0 to 1"));
        }
        self.check_more_memory()
    }

    fn check_more_memory(&self) -> Result<(), InvalidSpec> {
        let Some(more) = &self.retry.more_memory else {
            return Ok(());
        };
        let field = "retry.more_memory";
        if !(more.factor > 1.0 && more.factor <= 16.0) {
            return Err(InvalidSpec::new(
                format!("{field}.factor"),
                "must be more than 1 and at most 16",
            ));
        }
        match self.resources.memory_mib {
            None => Err(InvalidSpec::new(
                field,
                "needs `resources.memory_mib`: more than what is not known",
            )),
            Some(mib) if mib > more.max_mib => Err(InvalidSpec::new(
                format!("{field}.max_mib"),
                format!("is less than the {mib} MiB of the first attempt"),
            )),
            Some(_) => Ok(()),
        }
    }

    fn check_resources(&self) -> Result<(), InvalidSpec> {
        let r = &self.resources;
        if r.vcpus.is_some_and(|v| !v.is_finite() || v <= 0.0) {
            return Err(InvalidSpec::new(
                "resources.vcpus",
                "must be greater than 0, such as 0.25 or 4",
            ));
        }
        for (field, value) in [
            ("resources.memory_mib", r.memory_mib),
            ("resources.ephemeral_storage_gib", r.ephemeral_storage_gib),
        ] {
            if value == Some(0) {
                return Err(InvalidSpec::new(field, "must be greater than 0"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> Result<JobSpec, String> {
        let spec: JobSpec = serde_json::from_str(json).map_err(|e| e.to_string())?;
        spec.validate().map_err(|e| e.to_string())?;
        Ok(spec)
    }

    #[test]
    fn what_is_wrong_is_refused_with_the_field_and_the_reason() {
        for (json, part) in [
            (r#"{"name":"a","comand":["x"]}"#, "unknown field `comand`"),
            (r#"{"name":"a","timeout":"soon"}"#, "\"soon\""),
            (
                r#"{"name":"a","timeout":"0s"}"#,
                "timeout: must be from 1 s",
            ),
            (
                r#"{"name":"a","timeout":"10s","heartbeat":"10s"}"#,
                "heartbeat: must be less",
            ),
            (
                r#"{"name":"a","heartbeat":"1500ms"}"#,
                "heartbeat: must be whole",
            ),
            (
                r#"{"name":"a","deadline":"0s"}"#,
                "deadline: must be from 1 s",
            ),
            (
                r#"{"name":"a","deadline":"1500ms"}"#,
                "deadline: must be whole",
            ),
            (r#"{"name":"a","command":[]}"#, "command: is empty"),
            (r#"{"name":"a","command":[""]}"#, "command: is empty"),
            (
                r#"{"name":"a","command":["x","a\u0000b"]}"#,
                "command[1]: holds a NUL",
            ),
            (r#"{"name":"a b"}"#, "not a job name"),
            (
                r#"{"name":"a","environment":{"1A":"x"}}"#,
                "environment.1A: is not a variable",
            ),
            (
                r#"{"name":"a","environment":{"CALLBACK_ID":"x"}}"#,
                "environment.CALLBACK_ID: is set by",
            ),
            (
                r#"{"name":"a","environment":{"LONGHAUL_X":"x"}}"#,
                "environment.LONGHAUL_X: is set by",
            ),
            (
                r#"{"name":"a","environment":{"A":"\u0000"}}"#,
                "environment.A: holds a NUL",
            ),
            (r#"{"name":"a","resources":{"vcpus":0}}"#, "resources.vcpus"),
            (
                r#"{"name":"a","resources":{"memory_mib":0}}"#,
                "resources.memory_mib",
            ),
            (r#"{"name":"a","retry":{"attempts":0}}"#, "retry.attempts"),
            (r#"{"name":"a","retry":{"jitter":1.5}}"#, "retry.jitter"),
            (
                r#"{"name":"a","retry":{"more_memory":{"factor":2,"max_mib":512}}}"#,
                "retry.more_memory: needs",
            ),
            (
                r#"{"name":"a","resources":{"memory_mib":512},"retry":{"more_memory":{"factor":1,"max_mib":512}}}"#,
                "retry.more_memory.factor",
            ),
            (
                r#"{"name":"a","resources":{"memory_mib":1024},"retry":{"more_memory":{"factor":2,"max_mib":512}}}"#,
                "retry.more_memory.max_mib",
            ),
            (
                r#"{"name":"a","retry":{"on":["Sad"]}}"#,
                "unknown variant `Sad`",
            ),
        ] {
            let error = spec(json).unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        }
    }
}

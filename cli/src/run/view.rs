//! What a person or a program sees of a run, on standard error.

use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime};

use console::{Style, Term};
use indicatif::{ProgressBar, ProgressStyle};
use longhaul_core::{JobFailure, JobHandle, format_duration};
use serde_json::{Value, json};

use super::happening::Happening;

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing but errors.
    Quiet,
    /// One JSON object a line.
    Json,
    /// Plain lines: a pipe, a file, a terminal that cannot do more.
    Plain,
    /// Colours and a running clock.
    Terminal,
}

impl Mode {
    pub(crate) fn choose(quiet: bool, json: bool) -> Self {
        if quiet {
            Self::Quiet
        } else if json {
            Self::Json
        } else if Term::stderr().features().is_attended() {
            Self::Terminal
        } else {
            Self::Plain
        }
    }
}

/// Shows a run as it goes.
#[derive(Debug)]
pub(crate) struct View {
    mode: Mode,
    begun: Instant,
    clock: Option<(ProgressBar, Instant)>,
    /// Callbacks and waits that have not come to their end.
    open: usize,
}

impl View {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            begun: Instant::now(),
            clock: None,
            open: 0,
        }
    }

    /// A stage: a word for programs, a sentence for people, members for programs.
    fn stage(&self, event: &str, sign: char, text: &str, members: Value) {
        match self.mode {
            Mode::Quiet => {}
            Mode::Json => self.json(event, members),
            Mode::Plain => self.line(&format!("longhaul: {text}")),
            Mode::Terminal => {
                let style = match sign {
                    '✓' => Style::new().green().bold(),
                    '✗' => Style::new().red().bold(),
                    '!' => Style::new().yellow().bold(),
                    _ => Style::new().cyan(),
                };
                let sign = style.for_stderr().apply_to(sign);
                self.line(&format!("{sign} {text}"));
            }
        }
    }

    fn json(&self, event: &str, members: Value) {
        let mut object = json!({
            "time": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            "event": event,
        });
        if let (Value::Object(object), Value::Object(members)) = (&mut object, members) {
            object.extend(members);
        }
        self.line(&object.to_string());
    }

    /// A line on standard error, above the running clock. A closed pipe is nobody's error.
    fn line(&self, line: &str) {
        match &self.clock {
            Some((bar, _)) => bar.suspend(|| eprint_line(line)),
            None => eprint_line(line),
        }
    }

    pub(crate) fn execution_started(&self, job: &str, execution: &str, arn: &str) {
        let text = format!("execution {execution} started for job {job}");
        self.stage(
            "execution_started",
            '●',
            &text,
            json!({"job": job, "execution": execution, "execution_arn": arn}),
        );
    }

    /// Shows what happened. `pid` is the job's process, where it is a local one.
    pub(crate) fn happened(&mut self, happening: &Happening, pid: Option<u32>) {
        match happening {
            Happening::CallbackCreated { timeout, heartbeat } => {
                self.open += 1;
                let part = |what: &str, d: &Option<Duration>| {
                    d.map(|d| format!("{what} {}", format_duration(d)))
                };
                let parts: Vec<String> = [part("timeout", timeout), part("heartbeat", heartbeat)]
                    .into_iter()
                    .flatten()
                    .collect();
                let text = match parts.join(", ") {
                    parts if parts.is_empty() => "callback created".to_owned(),
                    parts => format!("callback created ({parts})"),
                };
                let seconds = |d: &Option<Duration>| d.map(|d| d.as_secs());
                self.stage(
                    "callback_created",
                    '●',
                    &text,
                    json!({"timeout_seconds": seconds(timeout), "heartbeat_seconds": seconds(heartbeat)}),
                );
            }
            Happening::Started { handle } => self.started(handle, pid),
            Happening::StartRetried { message, after } => {
                let text = format!(
                    "not started, next try in {}: {message}",
                    format_duration(*after)
                );
                self.stage(
                    "start_retried",
                    '!',
                    &text,
                    json!({"message": message, "after_seconds": after.as_secs()}),
                );
            }
            Happening::Returned => {
                // A job that was quicker than the function has nothing for it to wait for.
                if self.open > 0 {
                    self.suspended();
                }
            }
            Happening::Resumed { because } => {
                self.open = self.open.saturating_sub(1);
                self.resumed(because);
            }
            Happening::Backoff { after } => {
                self.open += 1;
                let text = format!("another attempt in {}", format_duration(*after));
                self.stage(
                    "backoff",
                    '!',
                    &text,
                    json!({"after_seconds": after.as_secs()}),
                );
            }
            Happening::InvocationFailed { message } => {
                let text = format!("the function failed, it is invoked again: {message}");
                self.stage("invocation_failed", '!', &text, json!({"message": message}));
            }
            Happening::Ended => {}
        }
    }

    fn started(&self, handle: &JobHandle, pid: Option<u32>) {
        let text = match pid {
            Some(pid) => format!("process started (pid {pid})"),
            None => format!("job started ({handle})"),
        };
        self.stage(
            "job_started",
            '●',
            &text,
            json!({"handle": handle, "pid": pid}),
        );
    }

    fn suspended(&mut self) {
        if self.clock.is_some() {
            return;
        }
        match self.mode {
            Mode::Terminal => {
                let bar = ProgressBar::new_spinner();
                let style = ProgressStyle::with_template(
                    "{spinner:.cyan} suspended {elapsed_precise}, no compute while it waits",
                )
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
                bar.set_style(style);
                bar.enable_steady_tick(Duration::from_millis(120));
                self.clock = Some((bar, Instant::now()));
            }
            _ => {
                self.stage(
                    "suspended",
                    '●',
                    "suspended, no compute while it waits",
                    json!({}),
                );
                self.clock = Some((ProgressBar::hidden(), Instant::now()));
            }
        }
    }

    fn resumed(&mut self, because: &str) {
        let waited = self.stop_clock();
        let text = match waited {
            Some(waited) => format!("resumed after {:.1} s: {because}", waited.as_secs_f64()),
            None => format!("resumed: {because}"),
        };
        self.stage(
            "resumed",
            '●',
            &text,
            json!({"because": because, "suspended_seconds": waited.map(|w| w.as_secs_f64())}),
        );
    }

    fn stop_clock(&mut self) -> Option<Duration> {
        let (bar, since) = self.clock.take()?;
        bar.finish_and_clear();
        Some(since.elapsed())
    }

    /// A line that the job wrote.
    pub(crate) fn output(&self, stream: &str, line: &str) {
        match self.mode {
            Mode::Quiet => {}
            Mode::Json => self.json("output", json!({"stream": stream, "line": line})),
            Mode::Plain => self.line(&format!("  | {line}")),
            Mode::Terminal => {
                let bar = Style::new().dim().for_stderr().apply_to('│');
                self.line(&format!("  {bar} {line}"));
            }
        }
    }

    pub(crate) fn succeeded(&mut self) {
        self.stop_clock();
        let text = format!("done in {:.1} s", self.begun.elapsed().as_secs_f64());
        self.stage("succeeded", '✓', &text, json!({}));
    }

    /// How many jobs ended how: the first line, and the failures by their class.
    pub(crate) fn summary(&mut self, lines: &[String], met: bool) {
        self.stop_clock();
        let (first, rest) = lines
            .split_first()
            .map_or(("", lines), |(a, b)| (a.as_str(), b));
        let after = format!("{first} in {:.1} s", self.begun.elapsed().as_secs_f64());
        let sign = if met { '✓' } else { '✗' };
        self.stage(
            "finished",
            sign,
            &after,
            json!({"met": met, "summary": lines}),
        );
        if matches!(self.mode, Mode::Plain | Mode::Terminal) {
            for line in rest {
                self.line(line);
            }
        }
    }

    pub(crate) fn stopping(&mut self, signal: &str) {
        self.stop_clock();
        let text = format!("{signal}: stopping the execution and what it runs");
        self.stage("stopping", '!', &text, json!({"signal": signal}));
    }

    pub(crate) fn stopped(&self, jobs: usize) {
        let text = match jobs {
            0 => "stopped; no job was running".to_owned(),
            1 => "stopped; its job is cancelled".to_owned(),
            n => format!("stopped; its {n} jobs are cancelled"),
        };
        self.stage("stopped", '!', &text, json!({"cancelled": jobs}));
    }

    /// Says why there is no result. Also in quiet mode.
    pub(crate) fn failed(&mut self, status: &str, failure: &JobFailure) {
        self.stop_clock();
        if self.mode == Mode::Json {
            self.json(
                "failed",
                json!({"status": status, "error_type": failure.error_type(), "message": failure.error_message(), "failure": failure}),
            );
            return;
        }
        let red = Style::new().red().bold().for_stderr();
        self.line(&format!(
            "{} {}",
            red.apply_to("error:"),
            failure.error_message()
        ));
        let fact = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                self.line(&format!("  {name:<10} {value}"));
            }
        };
        fact("class", Some(failure.error_type().to_owned()));
        fact("exit code", failure.exit_code.map(|code| code.to_string()));
        fact("signal", failure.signal.map(|signal| signal.to_string()));
        fact("reason", failure.reason.clone());
        fact("data", failure.own_data.clone());
        fact("logs", failure.logs.clone());
        if let Some(stderr) = failure.stderr.as_deref().filter(|s| !s.trim().is_empty()) {
            self.line("  end of its standard error:");
            for line in stderr.trim_end().lines() {
                self.line(&format!("    {line}"));
            }
        }
    }
}

fn eprint_line(line: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "{line}");
}

//! `longhaul logs`: what an execution's jobs wrote.

use std::io::Write as _;
use std::time::Duration;

use clap::Args;
use longhaul_emulator::ExecutionArn;
use longhaul_process::ProcessBackend;
use tokio::time::MissedTickBehavior;

use super::history::{self, Started, is_end, started};
use super::place::Found;
use super::{Where, print, say};
use crate::error::CliError;
use crate::run::LOCAL;
use crate::run::local::FunctionEnvironment;
use crate::run::tail::Tail;

/// How often the output is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How many looks there are to a look at the history.
const LOOKS: u32 = 5;

/// Print what an execution's jobs have written
///
/// Standard output goes to standard output, standard error to standard error.
///
/// The output of local jobs is on this machine. That of jobs on AWS is in CloudWatch Logs, which this command does not
/// read: it prints where to look.
///
/// Exit codes: 0; 1 the execution is not there, or the service failed; 2 bad usage, or no service runs.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Its name or its ARN
    execution: String,

    /// Go on until the execution has ended
    #[arg(long, short)]
    follow: bool,

    #[command(flatten)]
    place: Where,
}

pub(super) async fn run(args: &LogsArgs) -> Result<(), CliError> {
    let found = args.place.find(&args.execution).await?;
    if !found.place.is_local() {
        return links(&found, args.follow).await;
    }
    let state = args.place.state_dir()?;
    let jobs = FunctionEnvironment::new(LOCAL, &state)?.local_jobs()?;
    let mut output = Output::new(jobs);
    let mut interval = tokio::time::interval(LOOK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = 0;
    loop {
        interval.tick().await;
        let is_over = if looks % LOOKS == 0 {
            output.read_history(&found).await?
        } else {
            false
        };
        looks += 1;
        output.show_lines()?;
        if is_over || !args.follow {
            output.show_rest()?;
            break;
        }
    }
    if output.sources.is_empty() {
        say("no job of it has started");
    }
    Ok(())
}

/// The logs of an execution's jobs, as far as they are shown.
struct Output {
    jobs: ProcessBackend,
    seen: i32,
    sources: Vec<Source>,
    /// Whose output was printed last.
    last: Option<usize>,
}

struct Source {
    job: String,
    logs: Option<(Tail, Tail)>,
}

impl Output {
    const fn new(jobs: ProcessBackend) -> Self {
        Self {
            jobs,
            seen: 0,
            sources: Vec::new(),
            last: None,
        }
    }

    /// Finds jobs that were started since the last call. Returns whether the execution has ended.
    async fn read_history(&mut self, found: &Found) -> Result<bool, CliError> {
        let events = history::read(found).await?;
        for event in &events {
            if event.event_id <= self.seen {
                continue;
            }
            self.seen = event.event_id;
            if let Some(started) = started(event) {
                self.add(started, &found.arn);
            }
        }
        Ok(events.last().is_some_and(is_end))
    }

    fn add(&mut self, started: Started, arn: &ExecutionArn) {
        let Started { job, handle } = started;
        let logs = if handle.backend() == LOCAL {
            self.jobs.logs(&handle)
        } else {
            None
        };
        if logs.is_none() {
            say(&format!(
                "{job} runs as {handle}: its output is not in this state folder{}",
                link(handle.backend(), handle.id(), arn)
                    .map(|link| format!("; see {link}"))
                    .unwrap_or_default()
            ));
        }
        self.sources.push(Source {
            job,
            logs: logs.map(|logs| (Tail::new(logs.stdout), Tail::new(logs.stderr))),
        });
    }

    fn show_lines(&mut self) -> Result<(), CliError> {
        self.show(|tail| tail.lines())
    }

    fn show_rest(&mut self) -> Result<(), CliError> {
        self.show_lines()?;
        self.show(|tail| tail.rest().into_iter().collect())
    }

    fn show(&mut self, mut read: impl FnMut(&mut Tail) -> Vec<String>) -> Result<(), CliError> {
        let several = self.sources.len() > 1;
        for (number, source) in self.sources.iter_mut().enumerate() {
            let Some((stdout, stderr)) = &mut source.logs else {
                continue;
            };
            let (out, err) = (read(stdout), read(stderr));
            if out.is_empty() && err.is_empty() {
                continue;
            }
            if several && self.last != Some(number) {
                say(&format!("==> {} <==", source.job));
            }
            self.last = Some(number);
            for line in out {
                print(&format!("{line}\n"))?;
            }
            for line in err {
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            }
        }
        Ok(())
    }
}

/// Where to look on AWS.
async fn links(found: &Found, follow: bool) -> Result<(), CliError> {
    say("the logs are in CloudWatch, which this command does not read; look there:");
    if follow {
        say("(--follow is of no use with --aws: `aws logs tail --follow` does that)");
    }
    let function = found.arn.function();
    let mut text = format!("{function}  {}\n", function_link(&found.arn));
    for started in history::read(found).await?.iter().filter_map(started) {
        let handle = &started.handle;
        let place =
            link(handle.backend(), handle.id(), &found.arn).unwrap_or_else(|| handle.to_string());
        text.push_str(&format!("{}  {place}\n", started.job));
    }
    print(&text)
}

/// The console's address in a region.
fn console(arn: &ExecutionArn) -> (String, &str) {
    let mut parts = arn.as_str().split(':').skip(1);
    let partition = parts.next().unwrap_or_default();
    let region = parts.nth(1).unwrap_or_default();
    let host = match partition {
        "aws-cn" => "console.amazonaws.cn".to_owned(),
        "aws-us-gov" => "console.amazonaws-us-gov.com".to_owned(),
        _ => format!("{region}.console.aws.amazon.com"),
    };
    (format!("https://{host}"), region)
}

fn function_link(arn: &ExecutionArn) -> String {
    let (console, region) = console(arn);
    // The console decodes a fragment twice, and writes `$` for `%`.
    let group = format!("/aws/lambda/{}", arn.function()).replace('/', "$252F");
    format!("{console}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}")
}

/// The page of a job in the console, which has its logs.
fn link(backend: &str, id: &str, arn: &ExecutionArn) -> Option<String> {
    let (console, region) = console(arn);
    match backend {
        "ecs" => {
            // arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID
            let (_, task) = id.split_once(":task/")?;
            let (cluster, task) = task.split_once('/')?;
            Some(format!(
                "{console}/ecs/v2/clusters/{cluster}/tasks/{task}/logs?region={region}"
            ))
        }
        "batch" => Some(format!(
            "{console}/batch/home?region={region}#jobs/detail/{id}"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_the_jobs_region_and_partition() {
        let arn = |partition: &str| {
            let text = format!(
                "arn:{partition}:lambda:eu-west-1:123456789012:function:f-1:3/durable-execution/n/i"
            );
            ExecutionArn::parse(&text).unwrap()
        };
        assert_eq!(
            function_link(&arn("aws")),
            "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Faws$252Flambda$252Ff-1"
        );
        assert_eq!(
            link(
                "ecs",
                "arn:aws:ecs:eu-west-1:123456789012:task/main/0a1b",
                &arn("aws")
            )
            .unwrap(),
            "https://eu-west-1.console.aws.amazon.com/ecs/v2/clusters/main/tasks/0a1b/logs?region=eu-west-1"
        );
        assert_eq!(
            link("batch", "job-1", &arn("aws-cn")).unwrap(),
            "https://console.amazonaws.cn/batch/home?region=eu-west-1#jobs/detail/job-1"
        );
        assert_eq!(link("slurm", "1", &arn("aws")), None);
    }
}

//! `longhaul serve`: the durable service on this machine, with a web page, for as long as it is wanted.

mod cancel;
mod functions;
mod logs;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use longhaul_emulator::{
    DurableConfig, FunctionConfig, Lifetime, Service, ServiceConfig, ServiceError, WebPage,
    WriterPlace,
};
use longhaul_process::ProcessBackend;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::duration;
use crate::endpoint::{Endpoint, EndpointFile};
use crate::error::{CliError, full_message};
use crate::run::local::{FUNCTION, FunctionEnvironment, REGION};
use crate::state::{self, StateDir};
use functions::Named;
use logs::JobLogs;

/// How often what is too old is looked for.
const PRUNE: Duration = Duration::from_secs(6 * 3600);

/// Be the durable service on this machine, with a web page
///
/// Without --function it runs the function that runs jobs, as `longhaul run` does. Whatever speaks the Lambda
/// Runtime API can be a function, in any language.
///
/// Executions and jobs outlive it: the next `longhaul serve` on the same state folder goes on where this one stopped.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  longhaul serve\n  longhaul serve --port 4400 --function orders=target/debug/orders\n  longhaul serve --function report=/usr/bin/python3,-m,awslambdaric,report.handler"
)]
pub(crate) struct ServeArgs {
    /// A function: its name and its program, with arguments after commas. May be given several times
    #[arg(long = "function", value_name = "NAME=PATH[,ARG...]")]
    functions: Vec<Named>,

    /// The port on the loopback address; 0 is the one used last with this state folder, or any
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// The folder for everything that is kept: executions, logs, results
    #[arg(long, value_name = "DIR", env = "LONGHAUL_STATE")]
    state: Option<PathBuf>,

    /// Serve programs of every user of this machine, who can then start the functions as you; a worker in a
    /// container may need that
    #[arg(long)]
    any_user: bool,

    /// Start a new process for every invocation: shows whether a function needs anything in between
    #[arg(long, conflicts_with = "freeze")]
    fresh: bool,

    /// Stop a function's processes between invocations and continue them for the next one, as AWS does
    #[arg(long)]
    freeze: bool,

    /// How long one invocation may take, as in 15m; a function that takes longer is killed and invoked again
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "15m")]
    function_timeout: Duration,

    /// How long an execution may take in all, in whole seconds
    #[arg(long, value_name = "DURATION", value_parser = whole_seconds, default_value = "1d")]
    execution_timeout: Duration,
}

impl ServeArgs {
    fn lifetime(&self) -> Lifetime {
        match (self.fresh, self.freeze) {
            (true, _) => Lifetime::Fresh,
            (false, true) => Lifetime::Freeze,
            (false, false) => Lifetime::Reuse,
        }
    }

    /// The function with what the command line says of all of them.
    fn settled(&self, function: FunctionConfig) -> FunctionConfig {
        let retention = DurableConfig::default().retention_days;
        function
            .lifetime(self.lifetime())
            .timeout(self.function_timeout)
            .durable(DurableConfig::new(
                self.execution_timeout.as_secs(),
                retention,
            ))
    }
}

/// A duration of which no part of a second would be lost.
fn whole_seconds(text: &str) -> Result<Duration, String> {
    let read = duration(text)?;
    if read.subsec_nanos() > 0 {
        return Err("an execution's timeout is in whole seconds: round it".to_owned());
    }
    Ok(read)
}

/// Runs the command and says how it ended.
pub(crate) async fn main(args: ServeArgs) -> ExitCode {
    match serve(&args).await {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {}", full_message(&error)));
            error.exit_code()
        }
    }
}

async fn serve(args: &ServeArgs) -> Result<ExitCode, CliError> {
    let state = StateDir::find(args.state.as_deref())?;
    let environment = FunctionEnvironment::new(crate::run::LOCAL, &state)?;
    let functions = functions(args, &environment)?;
    let names: Vec<String> = functions.iter().map(|it| it.name().to_owned()).collect();
    let jobs = environment.local_jobs()?;
    let (mut interrupt, mut terminate) = signals()?;

    let service = start(&state, args, functions, &jobs).await?;
    let endpoint = Endpoint::new(service.url(), names.clone());
    let _endpoint = EndpointFile::of_serve(&state, &endpoint)?;
    let cancelling = tokio::spawn(cancel::follow(service.subscribe(), jobs.clone()));
    let pruning = tokio::spawn(prune(state.clone(), jobs));
    print(&greeting(&service.url(), &state, &names));

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    say(
        "stopping: jobs that run keep running, and the next `longhaul serve` on this state folder picks them up",
    );
    cancelling.abort();
    pruning.abort();
    tokio::select! {
        () = service.shutdown() => Ok(ExitCode::SUCCESS),
        // Whoever asks twice does not want to wait. What is on disk is whole at any moment.
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
    }
}

fn signals() -> Result<(Signal, Signal), CliError> {
    let listen =
        |kind| signal(kind).map_err(|error| CliError::broken("signals cannot be caught", error));
    Ok((
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    ))
}

fn functions(
    args: &ServeArgs,
    environment: &FunctionEnvironment,
) -> Result<Vec<FunctionConfig>, CliError> {
    if args.functions.is_empty() {
        environment.config()?;
        let function = environment.function(args.lifetime())?;
        return Ok(vec![args.settled(function)]);
    }
    args.functions
        .iter()
        .map(|named| {
            let function = environment.offer(named.function()?);
            Ok(args.settled(function))
        })
        .collect()
}

async fn start(
    state: &StateDir,
    args: &ServeArgs,
    functions: Vec<FunctionConfig>,
    jobs: &ProcessBackend,
) -> Result<Service, CliError> {
    let page = WebPage::new().logs(Arc::new(JobLogs::new(jobs.clone())));
    let mut config = ServiceConfig::new(state.service())
        .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)))
        .region(REGION)
        // The program has one thread for all that it does, and no more to do than this.
        .writer(WriterPlace::Runtime)
        .web_page(page);
    for function in functions {
        config = config.function(function);
    }
    if !args.any_user {
        config = config.own_user_only();
    }
    Service::start(config).await.map_err(|error| match error {
        ServiceError::InUse(_) => CliError::Usage(already_serving(state)),
        ServiceError::Config(_) | ServiceError::StateDir { .. } | ServiceError::Listen { .. } => {
            CliError::Usage(full_message(&error))
        }
        error => CliError::broken("the durable service did not start", error),
    })
}

fn already_serving(state: &StateDir) -> String {
    let folder = state.path().display();
    match Endpoint::of_serve(state) {
        Some(Endpoint { url, pid, .. }) => format!(
            "longhaul serve runs on {folder} already: see {url}, stop it with `kill {pid}`, or choose another folder with --state"
        ),
        None => format!(
            "another longhaul serve holds {folder}: wait for it to end, or choose another folder with --state"
        ),
    }
}

/// Removes now and then what is too old. What cannot be removed now is tried again.
async fn prune(state: StateDir, jobs: ProcessBackend) {
    let mut interval = tokio::time::interval(PRUNE);
    loop {
        interval.tick().await;
        state.prune();
        if let Err(error) = jobs.prune(state::KEPT).await {
            tracing::warn!(%error, "what old jobs left was not removed");
        }
    }
}

/// What a person needs to know to use it.
fn greeting(url: &str, state: &StateDir, functions: &[String]) -> String {
    let mut text = String::new();
    let first = functions.first().map_or(FUNCTION, String::as_str);
    let payload = if functions == [FUNCTION] {
        r#"{"name":"hello","command":["sh","-c","sleep 5; echo done"]}"#
    } else {
        "{}"
    };
    let _ = write!(
        text,
        "Longhaul serves durable functions on this machine.

  page       {url}/
  functions  {functions}
  state      {state}

From another terminal, with any credentials:

  export AWS_ENDPOINT_URL_LAMBDA={url} AWS_REGION={REGION}
  echo '{payload}' | aws lambda invoke --function-name '{first}:$LATEST' \\
    --invocation-type Event --durable-execution-name first --payload fileb:///dev/stdin /dev/stdout
  longhaul ps

Ctrl-C stops the service. Jobs that run then keep running; the next `longhaul serve` picks them up.
",
        functions = functions.join(", "),
        state = state.path().display(),
    );
    text
}

/// Prints to standard output. A reader that went away is no reason to stop serving.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

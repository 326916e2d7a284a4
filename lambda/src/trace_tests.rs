//! Tests of the trace that jobs are handed: the first invocation's, for all of them.

use std::sync::{Arc, Mutex};

use longhaul_core::{CallbackToken, JobHandle, JobName, JobSpec, MockComputeBackend, TraceContext};
use serde_json::{Value, json};

use crate::durable::DurableContext;
use crate::durable::serve::ExecutionError;
use crate::testing::{Setup, xray};
use crate::{JobRunner, function};

#[tokio::test]
async fn every_job_is_in_the_trace_of_the_first_invocation_however_many_follow() {
    let traces = Arc::new(Mutex::new(Vec::<TraceContext>::new()));
    let (sender, mut tokens) = tokio::sync::mpsc::unbounded_channel::<CallbackToken>();
    let mut backend = MockComputeBackend::new();
    backend.expect_name().return_const("mock".to_owned());
    let seen = Arc::clone(&traces);
    backend
        .expect_start()
        .times(2)
        .returning(move |job, token| {
            seen.lock().unwrap().push(job.trace());
            sender.send(token.clone()).unwrap();
            Ok(JobHandle::new("mock", "job"))
        });
    let two = |_: Value, ctx: DurableContext, runner: JobRunner| async move {
        let runner = runner.in_trace_of(&ctx).await?;
        for _ in 0..2 {
            let spec = JobSpec::new(JobName::from_text("hello"));
            runner.run::<Value>(&ctx, spec).await?;
        }
        Ok::<(), ExecutionError>(())
    };
    let handler = function::over(JobRunner::new(Arc::new(backend)), two);
    let setup = Setup::new(handler, |config| config).await;
    let complete = async {
        for _ in 0..2 {
            let token = tokens.recv().await.unwrap();
            let send = setup.client.send_durable_execution_callback_success();
            send.callback_id(token.expose()).send().await.unwrap();
        }
    };
    let (outcome, ()) = tokio::join!(setup.run(json!(1)), complete);
    assert!(
        matches!(outcome, longhaul_emulator::Outcome::Succeeded(_)),
        "{outcome:?}"
    );
    setup.service.shutdown().await;
    let traces = traces.lock().unwrap();
    let first = TraceContext::from_xray(&xray(1)).unwrap();
    assert_eq!(*traces, [first.clone(), first]);
}

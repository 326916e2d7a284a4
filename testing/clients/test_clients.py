"""Other people's clients against `longhaul serve`, unchanged: AWS's SDKs for Python and JavaScript run a function each, and
AWS's command line, boto3 and SAM's command line complete their callbacks. `.ci/clients` sets the variables."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

# No call takes this long, even on a machine that is busy; something that never comes fails the test.
DEADLINE = 120


def until(what, look):
    """What `look` gives, once that is not empty."""
    end = time.monotonic() + DEADLINE
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"not within {DEADLINE} s: {what}"
        time.sleep(0.1)


class Service:
    def __init__(self, url, lambda_, environment):
        self.url, self.lambda_, self.environment = url, lambda_, environment

    def events(self, arn):
        pages = self.lambda_.get_paginator("get_durable_execution_history")
        return [
            event
            for page in pages.paginate(DurableExecutionArn=arn, IncludeExecutionData=True)
            for event in page["Events"]
        ]

    def run(self, *words, **variables):
        """Runs a command as a person would who has just the endpoint."""
        ended = subprocess.run(
            words,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        if ended.returncode != 0:
            # The last three words are the callback's id and its result.
            pytest.fail(f"{words[:-3]} ended with {ended.returncode}: {ended.stdout}{ended.stderr}")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    home = folder / "home"
    home.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1",
        "CLIENTS_PYTHON": os.environ["CLIENTS_PYTHON"],
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    log = folder / "serve.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                os.environ["LONGHAUL"], "serve", "--state", str(folder / "state"),
                "--function", f"python={Path(__file__).parent}/python/bootstrap",
                "--function", f"node={os.environ['CLIENTS_NODE']}/bootstrap",
            ],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        noted = folder / "state" / "service.json"

        def url():
            assert process.poll() is None, log.read_text()
            try:
                found = json.loads(noted.read_text())
            except (OSError, ValueError):
                return None
            return found["pid"] == process.pid and found["url"]

        endpoint = until("longhaul serve is up", url)
        client = boto3.client(
            "lambda",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="anybody",
            aws_secret_access_key="anything",
        )
        yield Service(endpoint, client, environment)
        print(log.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(DEADLINE)
        finally:
            process.kill()


def by_aws_cli(service, callback, result):
    service.run(
        str(Path(os.environ["CLIENTS_PYTHON"]).with_name("aws")),
        "lambda", "send-durable-execution-callback-success", "--endpoint-url", service.url,
        "--callback-id", callback, "--result", result,
    )  # fmt: skip


def by_boto3(service, callback, result):
    service.lambda_.send_durable_execution_callback_success(CallbackId=callback, Result=result)


def by_sam(service, callback, result):
    service.run(
        os.environ["CLIENTS_SAM"], "local", "callback", "succeed", callback, "--result", result,
        DURABLE_EXECUTIONS_EXTERNAL_EMULATOR_PORT=str(urlsplit(service.url).port),
        SAM_CLI_TELEMETRY="0",
    )  # fmt: skip


@pytest.mark.parametrize("complete", [by_aws_cli, by_boto3, by_sam])
@pytest.mark.parametrize("function", ["python", "node"])
def test_a_step_a_wait_and_a_callback_run_to_the_end(service, tmp_path, function, complete):
    name = f"{function}-{complete.__name__.replace('_', '-')}"
    ran = tmp_path / "ran"
    arn = service.lambda_.invoke(
        FunctionName=f"{function}:$LATEST",
        InvocationType="Event",
        DurableExecutionName=name,
        Payload=json.dumps({"amount": 21, "ran": str(ran)}),
    )["DurableExecutionArn"]

    def callback_id():
        events = service.events(arn)
        ends = [event for event in events if event["EventType"].startswith("Execution")][1:]
        assert not ends, f"it ended before its callback: {ends}"
        return next(
            (
                event["CallbackStartedDetails"]["CallbackId"]
                for event in events
                if event["EventType"] == "CallbackStarted"
            ),
            None,
        )

    result = json.dumps({"by": complete.__name__})
    complete(service, until("the callback is open", callback_id), result)

    def ended():
        execution = service.lambda_.get_durable_execution(DurableExecutionArn=arn)
        return execution["Status"] != "RUNNING" and execution

    execution = until("the execution has ended", ended)
    assert execution["Status"] == "SUCCEEDED", execution
    assert execution["DurableExecutionName"] == name
    # Both SDKs hand on a callback's result as it was sent: as text.
    assert json.loads(execution["Result"]) == {"charged": 42, "approval": result}
    assert ran.read_text() == "charge\n", "the step's body was run again"

    events = service.events(arn)
    story = [
        (event["EventType"], event.get("Name"))
        for event in events
        if event["EventType"] != "InvocationCompleted"
    ]
    assert story == [
        ("ExecutionStarted", name),
        ("StepStarted", "charge"),
        ("StepSucceeded", "charge"),
        ("WaitStarted", "cool-off"),
        ("WaitSucceeded", "cool-off"),
        ("CallbackStarted", "approval"),
        ("CallbackSucceeded", "approval"),
        ("ExecutionSucceeded", name),
    ]
    details = {event["EventType"]: event for event in events}
    step = details["StepSucceeded"]["StepSucceededDetails"]
    assert json.loads(step["Result"]["Payload"]) == 42
    assert details["WaitStarted"]["WaitStartedDetails"]["Duration"] == 1
    assert details["CallbackSucceeded"]["CallbackSucceededDetails"]["Result"]["Payload"] == result
    invocations = [event for event in events if event["EventType"] == "InvocationCompleted"]
    # The first, one after the wait, one after the callback; none failed.
    assert len(invocations) == 3, invocations
    for event in invocations:
        assert not event["InvocationCompletedDetails"].get("Error"), event

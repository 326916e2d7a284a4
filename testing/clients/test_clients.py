"""Other people's clients against `longhaul serve`, unchanged: AWS's SDKs for Python and JavaScript run a function each, and
AWS's command line, boto3 and SAM's command line complete their callbacks, fail them and keep them alive. `.ci/clients` sets the variables."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError

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
    def __init__(self, url, lambda_, environment, log):
        self.url, self.lambda_, self.environment, self.log = url, lambda_, environment, log

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
            # Not the words that follow: one is the callback's id.
            pytest.fail(f"{words[:4]} ended with {ended.returncode}: {ended.stdout}{ended.stderr}")


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
        yield Service(endpoint, client, environment, log)
        print(log.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(DEADLINE)
        finally:
            process.kill()


# What each way of failing a callback is told, as the API spells it.
ERROR = {
    "ErrorType": "Approval.Refused",
    "ErrorMessage": "not this month",
    "ErrorData": '{"limit":20}',
    "StackTrace": ["approvals.py:7"],
}


class AwsCli:
    """AWS's command line."""

    def __init__(self, service):
        self.service = service

    def send(self, what, callback, *words):
        self.service.run(
            str(Path(os.environ["CLIENTS_PYTHON"]).with_name("aws")),
            "lambda", f"send-durable-execution-callback-{what}", "--endpoint-url", self.service.url,
            "--callback-id", callback, *words,
        )  # fmt: skip

    def succeed(self, callback, result):
        self.send("success", callback, "--result", result)

    def fail(self, callback):
        self.send("failure", callback, "--error", json.dumps(ERROR))

    def heartbeat(self, callback):
        self.send("heartbeat", callback)


class Boto3:
    """The SDK for Python."""

    def __init__(self, service):
        self.lambda_ = service.lambda_

    def succeed(self, callback, result):
        self.lambda_.send_durable_execution_callback_success(CallbackId=callback, Result=result)

    def fail(self, callback):
        self.lambda_.send_durable_execution_callback_failure(CallbackId=callback, Error=ERROR)

    def heartbeat(self, callback):
        self.lambda_.send_durable_execution_callback_heartbeat(CallbackId=callback)


class Sam:
    """SAM's command line."""

    def __init__(self, service):
        self.service = service

    def send(self, what, callback, *words):
        self.service.run(
            os.environ["CLIENTS_SAM"], "local", "callback", what, callback, *words,
            DURABLE_EXECUTIONS_EXTERNAL_EMULATOR_PORT=str(urlsplit(self.service.url).port),
            SAM_CLI_TELEMETRY="0",
        )  # fmt: skip

    def succeed(self, callback, result):
        self.send("succeed", callback, "--result", result)

    def fail(self, callback):
        self.send(
            "fail", callback,
            "--error-type", ERROR["ErrorType"], "--error-message", ERROR["ErrorMessage"],
            "--error-data", ERROR["ErrorData"], "--stack-trace", *ERROR["StackTrace"],
        )  # fmt: skip

    def heartbeat(self, callback):
        self.send("heartbeat", callback)


ways = pytest.mark.parametrize("way", [AwsCli, Boto3, Sam])
functions = pytest.mark.parametrize("function", ["python", "node"])


def start(service, function, name, ran):
    return service.lambda_.invoke(
        FunctionName=f"{function}:$LATEST",
        InvocationType="Event",
        DurableExecutionName=name,
        Payload=json.dumps({"amount": 21, "ran": str(ran)}),
    )["DurableExecutionArn"]


def open_callback(service, arn):
    def look():
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

    return until("the callback is open", look)


def end(service, arn):
    def look():
        execution = service.lambda_.get_durable_execution(DurableExecutionArn=arn)
        return execution["Status"] != "RUNNING" and execution

    return until("the execution has ended", look)


@ways
@functions
def test_a_step_a_wait_and_a_callback_run_to_the_end(service, tmp_path, function, way):
    name = f"{function}-{way.__name__}"
    ran = tmp_path / "ran"
    arn = start(service, function, name, ran)
    result = json.dumps({"by": way.__name__})
    way(service).succeed(open_callback(service, arn), result)
    execution = end(service, arn)
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


@ways
@functions
def test_a_callback_kept_alive_and_then_failed_ends_the_execution_with_its_error(
    service, tmp_path, function, way
):
    arn = start(service, function, f"{function}-{way.__name__}-fails", tmp_path / "ran")
    callback = open_callback(service, arn)
    way(service).heartbeat(callback)
    way(service).fail(callback)
    assert end(service, arn)["Status"] == "FAILED"
    failed = [event for event in service.events(arn) if event["EventType"] == "CallbackFailed"]
    assert [event["CallbackFailedDetails"]["Error"]["Payload"] for event in failed] == [ERROR]
    # Closed: no way keeps it alive now, and each says so.
    with pytest.raises((ClientError, pytest.fail.Exception), match="CallbackTimeoutException"):
        way(service).heartbeat(callback)


def test_the_commands_that_serve_prints_start_an_execution(service):
    greeting = service.log.read_text()
    commands = greeting[greeting.index("  export AWS_") : greeting.index("  longhaul ps")]
    bin = Path(os.environ["CLIENTS_PYTHON"]).parent
    service.run("sh", "-ec", commands, PATH=f"{bin}:{os.environ['PATH']}")
    [execution] = service.lambda_.list_durable_executions_by_function(
        FunctionName="python", DurableExecutionName="first"
    )["DurableExecutions"]
    arn = execution["DurableExecutionArn"]
    [started] = [event for event in service.events(arn) if event["EventType"] == "ExecutionStarted"]
    assert json.loads(started["ExecutionStartedDetails"]["Input"]["Payload"]) == {}
    # Without its input the function would try its step again and again.
    service.lambda_.stop_durable_execution(DurableExecutionArn=arn)

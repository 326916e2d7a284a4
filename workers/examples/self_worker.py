"""A job that is its own worker: it completes its callback itself, with boto3 and no supervisor.

This is all that the worker contract asks of a program, in any language with an AWS SDK:

* a heartbeat at once, and then in every third of the heartbeat timeout;
* its input, from a variable or from the payload store, where large ones are;
* one success or one failure at the end, tried until the service takes it;
* SIGTERM answered within the platform's grace, and reported as an interruption;
* an end to the work when the service says that the callback is closed.

Whoever knows CALLBACK_ID can complete the callback: do not print it.
"""

import hashlib
import json
import os
import random
import signal
import sys
import threading
import time
import urllib.parse

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

STARTED = time.monotonic()
# Nobody listens after the attempt's timeout.
TIMEOUT = float(os.environ.get("LONGHAUL_TIMEOUT_SECONDS") or 24 * 3600)
HEARTBEAT = float(os.environ.get("LONGHAUL_HEARTBEAT_SECONDS") or 0)
# What travels with the callback. The supervisor puts larger results into the payload store.
LARGEST_RESULT = 256 * 1024
# What is left, after SIGTERM, of the 30 s that ECS gives a container by default.
AFTER_SIGTERM = 20.0


class Stop(Exception):
    """The job has to end: its machine goes away, or nobody listens any more."""


class Closed(Exception):
    """The callback is completed, timed out or unknown."""


class Callback:
    """The durable callback of this attempt."""

    def __init__(self) -> None:
        # Taken out of the environment, so that no child process inherits it.
        self.id = os.environ.pop("CALLBACK_ID")
        self.closed = False
        self.client = boto3.client(
            "lambda",
            # boto3 knows AWS_DEFAULT_REGION only; ECS and longhaul set AWS_REGION.
            region_name=os.environ.get("AWS_REGION"),
            config=Config(connect_timeout=3, read_timeout=20, retries={"total_max_attempts": 1}),
        )

    def call(self, operation: str, **arguments: object) -> None:
        """Makes one call, or raises Closed, or an error of botocore."""
        try:
            getattr(self.client, operation)(CallbackId=self.id, **arguments)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code in ("CallbackTimeoutException", "ResourceNotFoundException"):
                raise Closed from error
            raise

    def beat(self) -> None:
        """Sends heartbeats for ever, and stops the main thread when nobody listens any more."""
        every = min(HEARTBEAT / 3, 60) if HEARTBEAT else 60
        while True:
            wait = every
            try:
                self.call("send_durable_execution_callback_heartbeat")
            except Closed:
                self.closed = True
                signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
                return
            except (BotoCoreError, ClientError) as error:
                print(f"heartbeat not accepted: {type(error).__name__}", file=sys.stderr)
                wait = min(every, 1)
            time.sleep(wait)

    def deliver(self, operation: str, deadline: float, **arguments: object) -> int:
        """Delivers the report. Returns the exit code for this process."""
        wait = 0.2
        while True:
            try:
                self.call(operation, **arguments)
                return 0
            except Closed:
                return 76
            except (BotoCoreError, ClientError) as error:
                print(f"report not accepted yet: {type(error).__name__}", file=sys.stderr)
            pause = wait * random.uniform(0.5, 1)
            if time.monotonic() + pause > deadline:
                return 75
            time.sleep(pause)
            wait = min(wait * 2, 10)


def read_input() -> object:
    """The job's input. One that was too large for the platform is in the payload store."""
    uri = os.environ.get("LONGHAUL_INPUT_URI")
    if not uri:
        return json.loads(os.environ.get("LONGHAUL_INPUT", "null"))
    # An ordinary URL, and after the # what must be there: sha256=…&size=…
    location, _, promise = uri.partition("#")
    promise = dict(urllib.parse.parse_qsl(promise))
    place = urllib.parse.urlsplit(location)
    path = urllib.parse.unquote(place.path)
    if place.scheme == "file":
        with open(path, "rb") as file:
            content = file.read()
    elif place.scheme == "s3":
        found = boto3.client("s3").get_object(Bucket=place.netloc, Key=path.lstrip("/"))
        content = found["Body"].read()
    else:
        raise ValueError(f"{location}: this worker reads file: and s3: only")
    if hashlib.sha256(content).hexdigest() != promise.get("sha256"):
        raise ValueError(f"{location}: what is there is not what was put")
    return json.loads(content)


def work(given: dict) -> dict:
    """The job itself."""
    message = given.get("message", "Hello from Lambda Durable Function")
    print("--- The hello job has started ---")
    print(f"Message: {message}")
    print(f"Processing Time: {given.get('processingTime', 10)} seconds")
    print("Simulating work...", flush=True)
    time.sleep(given.get("processingTime", 10))
    result = {"status": "completed", "message": f"Processed: {message}"}
    print(f"Result: {json.dumps(result, ensure_ascii=False)}", flush=True)
    return result


def stop(_number: int, _frame: object) -> None:
    raise Stop


def main() -> int:
    callback = Callback()
    failure = None
    deadline = STARTED + TIMEOUT
    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=callback.beat, daemon=True).start()
    started = False
    try:
        given = read_input() or {}
        started = True
        result = json.dumps(work(given)).encode()
        if len(result) > LARGEST_RESULT:
            raise ValueError(f"the result has {len(result)} bytes, more than {LARGEST_RESULT}")
        # From here on the report is all that is left to do.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except Stop:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if callback.closed:
            return 76
        deadline = min(deadline, time.monotonic() + AFTER_SIGTERM)
        failure = {
            "ErrorType": "Longhaul.Interrupted",
            "ErrorMessage": "the worker was told to stop",
            "ErrorData": json.dumps({"signal": int(signal.SIGTERM)}),
        }
    except Exception as error:
        # An error type of the job's own reaches the durable function as it is.
        kind = type(error).__name__ if started else "Longhaul.FailedToStart"
        failure = {"ErrorType": kind, "ErrorMessage": str(error)}

    if failure is None:
        operation = "send_durable_execution_callback_success"
        return callback.deliver(operation, deadline, Result=result)
    operation = "send_durable_execution_callback_failure"
    return callback.deliver(operation, deadline, Error=failure) or 1


if __name__ == "__main__":
    sys.exit(main())

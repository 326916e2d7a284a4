"""Rehearses a deployment: the stack is created in a peer that plays AWS, and jobs run through what was created there.

    unshare --map-root-user --net python deploy/rehearsal TEMPLATE HANDLER SERVICE [--reconciler FILE]

TEMPLATE is what deploy/translate.py printed, HANDLER and the reconciler are the `bootstrap`s that `sam build` made, SERVICE
is the emulator's example `durable-service`. The same handler runs under two durable services that know nothing of each
other: the peer's and ours. The peer checks every call against the role that makes it. In a network namespace of its own,
because the credentials of a task are at a fixed address, and the peer opens ports that nobody asked for.
"""

import argparse
import json
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile

import adjust
import boto3
import tasks

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
import fargate  # noqa: E402

ACCOUNT, REGION, STACK = "123456789012", "eu-west-1", "longhaul"
SAMPLE = {"message": "Test ECS task", "processingTime": 1}
RESULT = {"status": "completed", "message": "Processed: Test ECS task"}


def until(what, look, seconds=60):
    """What `look` returns, as soon as it is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise SystemExit(f"error: {what}: not within {seconds} s")


def say(text):
    print(f"rehearsal: {text}", flush=True)


class Peer:
    """ministack, with IAM in force."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "ministack.log"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "AUTH": "true",
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
        }
        program = pathlib.Path(sys.executable).parent / "ministack"
        self.process = subprocess.Popen(
            [program], env=environment, cwd=folder, stdout=self.log.open("w"), stderr=subprocess.STDOUT
        )
        self.session = boto3.Session("test", "test", region_name=REGION)
        until("ministack answers", self.answers)

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=2).status == 200
        except OSError:
            return False

    def client(self, name):
        return self.session.client(name, endpoint_url=self.url)

    def end(self):
        self.process.terminate()
        self.process.wait(20)


def create(peer, template, programs, folder):
    """Creates the stack. Returns its outputs."""
    s3 = peer.client("s3")
    s3.create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": REGION})
    keys = {}
    for name, program in programs.items():
        place = folder / f"{name}.zip"
        with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.write(program, "bootstrap")
        s3.upload_file(str(place), "code", place.name)
        keys[name] = place.name
    durable = template["Resources"]["Handler"]["Properties"]["DurableConfig"]
    if "Reconciler" not in programs:
        adjust.without(template, "Reconciler")
    # It forbids what is not encrypted on its way, which here nothing is. With it the peer does forbid it.
    adjust.without(template, "PayloadsPolicy")
    adjust.code(template, "code", keys)
    adjust.endpoint(template, keys, peer.url)
    adjust.ecs_statements(template)
    adjust.trust(template, ["WorkerRole", "HandlerRole"])
    formation = peer.client("cloudformation")
    formation.create_stack(StackName=STACK, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])

    def ended():
        stack = formation.describe_stacks(StackName=STACK)["Stacks"][0]
        return not stack["StackStatus"].endswith("IN_PROGRESS") and stack

    stack = until("the stack is created", ended)
    if stack["StackStatus"] != "CREATE_COMPLETE":
        for event in formation.describe_stack_events(StackName=STACK)["StackEvents"]:
            if "FAILED" in event["ResourceStatus"]:
                say(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}")
        raise SystemExit(f"error: the stack is {stack['StackStatus']}")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    parameters = template["Parameters"]
    named = {key: parameters[value["Ref"]]["Default"] for key, value in durable.items()}
    adjust.durable(peer.session, peer.url, outputs["HandlerFunction"], named)
    say(f"created {len(template['Resources'])} resources")
    return outputs


def configuration(peer, outputs):
    """The handler's configuration, read back from the peer by the alias."""
    found = peer.client("lambda").get_function_configuration(FunctionName=outputs["HandlerFunction"], Qualifier="prod")
    assert found["FunctionArn"].rsplit(":", 1)[1].isdigit(), "the alias names a version"
    variables = found["Environment"]["Variables"]
    return {name: value for name, value in variables.items() if name != "AWS_ENDPOINT_URL"}, found["Role"]


class PeersService:
    """The peer's own durable service, which runs the function that CloudFormation made."""

    def __init__(self, peer, outputs):
        self.name = "ministack's durable service"
        self.client, self.function, self.url = peer.client("lambda"), outputs["HandlerFunction"], peer.url
        self.version = self.client.get_alias(FunctionName=self.function, Name="prod")["FunctionVersion"]

    def start(self, event, timers):
        before = {e["DurableExecutionArn"] for e in self.executions()}
        # After an asynchronous invocation ministack forgets to look at the callback's timers; a synchronous one returns
        # when the function suspends, where AWS's would wait for the end.
        kind = "RequestResponse" if timers else "Event"
        self.client.invoke(
            FunctionName=f"{self.function}:prod", InvocationType=kind, Payload=json.dumps(event).encode()
        )
        new = until("an execution", lambda: {e["DurableExecutionArn"] for e in self.executions()} - before)
        return new.pop()

    def stumbled(self, done):
        """Whether ministack has run one invocation twice, side by side, as it does now and then: it then refuses the
        checkpoint of one of them, and the execution fails."""
        return "CheckpointToken does not match" in done.get("Error", {}).get("ErrorMessage", "")

    def executions(self):
        # Without a qualifier ministack lists those of $LATEST, where AWS lists all.
        return self.client.list_durable_executions_by_function(FunctionName=self.function, Qualifier=self.version)[
            "DurableExecutions"
        ]

    def end(self):
        pass


class OurService:
    """The emulator, which runs the same file with the same configuration, the calls to ECS and S3 going to the peer."""

    def __init__(self, peer, outputs, program, service, folder):
        self.name = "our durable service"
        self.function = "handler"
        variables, role = configuration(peer, outputs)
        given = peer.client("sts").assume_role(RoleArn=role, RoleSessionName="handler")["Credentials"]
        environment = {
            **variables,
            "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
            "AWS_SESSION_TOKEN": given["SessionToken"],
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL_ECS": peer.url,
            "AWS_ENDPOINT_URL_S3": peer.url,
        }
        # The service gives a function what Lambda gives it; this adds what the deployment says.
        script = folder / "handler.sh"
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
        script.write_text(f"#!/bin/sh\n{''.join(lines)}exec {shlex.quote(str(program))}\n")
        script.chmod(0o700)
        self.process = subprocess.Popen(
            [service, str(folder / "state"), f"{self.function}={script}"],
            stdout=subprocess.PIPE,
            stderr=(folder / "service.log").open("w"),
            text=True,
        )
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), (folder / "service.log").read_text()
        session = boto3.Session("any", "any", region_name=REGION)
        self.client = session.client("lambda", endpoint_url=self.url)

    def start(self, event, timers):
        answer = self.client.invoke(
            FunctionName=self.function,
            Qualifier="$LATEST",
            InvocationType="Event",
            Payload=json.dumps(event).encode(),
        )
        return answer["DurableExecutionArn"]

    def stumbled(self, done):
        """Never: what it gets wrong is a mistake."""
        return False

    def end(self):
        self.process.terminate()
        self.process.wait(20)


def run(service, cluster, event, timers=False, meanwhile=lambda tasks: None):
    """Runs one execution to its end, the tasks with it. `meanwhile` is told of the running ones again and again."""
    cluster.lambda_url = service.url
    for _ in range(3):
        done = run_once(service, cluster, event, timers, meanwhile)
        if not service.stumbled(done):
            break
        say(f"{service.name} stumbled, so this is done again")
    return done


def run_once(service, cluster, event, timers, meanwhile):
    execution = service.start(event, timers)

    def ended():
        meanwhile(cluster.look())
        found = service.client.get_durable_execution(DurableExecutionArn=execution)
        return found["Status"] != "RUNNING" and found

    try:
        return until(f"{service.name} ends the execution", ended)
    except SystemExit:
        history = service.client.get_durable_execution_history(DurableExecutionArn=execution, IncludeExecutionData=True)
        print(json.dumps(history["Events"], default=str, indent=1), file=sys.stderr)
        raise


def rehearse(service, cluster):
    """What a first invocation of a new stack does, and a job that fails."""
    before = set(cluster.run)
    done = run(service, cluster, SAMPLE)
    assert done["Status"] == "SUCCEEDED", done
    assert json.loads(done["Result"]) == RESULT, done
    task = cluster.latest(before)
    log = cluster.run[task]["log"].read_text()
    assert "Message: Test ECS task" in log, log
    assert cluster.run[task]["variables"]["CALLBACK_ID"] not in log
    say(f"{service.name}: the sample's job gave {done['Result']}")

    done = run(service, cluster, {**SAMPLE, "processingTime": 0, "fail": "the disk is full"})
    assert done["Status"] == "FAILED", done
    assert (done["Error"]["ErrorType"], done["Error"]["ErrorMessage"]) == ("Longhaul.Failed", "the disk is full"), done
    say(f"{service.name}: a job that fails gave {done['Error']['ErrorType']}")

    done = run(service, cluster, {**SAMPLE, "message": "long " * 2000})
    # The input was too large for the task's overrides, so it went to the bucket, and the sample's container says that it
    # does not read it from there.
    assert done["Status"] == "FAILED" and "too large for this container" in done["Error"]["ErrorMessage"], done
    say(f"{service.name}: an input of 10 KB travelled by way of the bucket")

    before = set(cluster.run)
    silent = {"name": "silent", "heartbeat": "2s", "retry": {"attempts": 1}, "input": {**SAMPLE, "processingTime": 600}}
    done = run(service, cluster, silent, timers=True, meanwhile=cluster.kill)
    assert done["Status"] == "FAILED" and done["Error"]["ErrorType"].startswith("Longhaul."), done
    task = cluster.latest(before)
    assert cluster.describe(task)["desiredStatus"] == "STOPPED", "the handler stopped the task"
    say(f"{service.name}: a job that died without a word gave {done['Error']['ErrorType']}, and its task was stopped")


class Reconciler:
    """The reconciler that was created in the peer, told of events as EventBridge tells it."""

    def __init__(self, peer, outputs):
        self.events, self.lambdas = peer.client("events"), peer.client("lambda")
        self.resource = lambda name: peer.client("cloudformation").describe_stack_resource(
            StackName=STACK, LogicalResourceId=name
        )["StackResourceDetail"]["PhysicalResourceId"]
        self.function = outputs["ReconcilerFunction"]

    def tell(self, rule, event):
        """Hands the event on if the rule's pattern matches it. ministack refuses to be sent events of AWS's, as AWS does."""
        found = self.events.describe_rule(Name=self.resource(rule).rsplit("/", 1)[-1])
        (target,) = self.events.list_targets_by_rule(Rule=found["Name"])["Targets"]
        assert target["Arn"].endswith(f":{self.function}"), target
        matches = self.events.test_event_pattern(EventPattern=found["EventPattern"], Event=json.dumps(event))["Result"]
        assert matches, f"{rule} does not match {event}"
        answer = self.lambdas.invoke(FunctionName=self.function, Payload=json.dumps(event).encode())
        assert "FunctionError" not in answer, answer["Payload"].read()


def rehearse_events(service, cluster, reconciler):
    """What becomes of a job that died, and of the job of an execution that was stopped, within seconds."""
    job = {"name": "watched", "heartbeat": "1h", "retry": {"attempts": 1}, "input": {**SAMPLE, "processingTime": 600}}
    told = []

    def die(tasks):
        for task in tasks:
            cluster.kill([task])
        for task in [task for task in cluster.dead() if task not in told]:
            containers = [{"name": "worker", "lastStatus": "STOPPED", "exitCode": 137}]
            why = {"stopCode": "EssentialContainerExited", "stoppedReason": "Essential container in task exited"}
            told.append(task)
            reconciler.tell("TaskStopped", cluster.stopped_event(task, containers=containers, **why))

    told += cluster.dead()
    done = run(service, cluster, job, meanwhile=die)
    assert done["Status"] == "FAILED" and done["Error"]["ErrorType"].startswith("Longhaul."), done
    assert json.loads(done["Error"]["ErrorData"])["exit_code"] == 137, done
    say(f"reconciler: a job that died without a word gave {done['Error']['ErrorType']}, told by ECS")

    cluster.lambda_url = service.url
    execution = service.start(job, timers=False)
    (task,) = until("the job runs", cluster.look)
    service.client.stop_durable_execution(DurableExecutionArn=execution)
    function = execution.split("/")[0]
    reconciler.tell(
        "ExecutionEnded",
        {
            "version": "0",
            "id": "3317b2af-7005-947d-b652-f55e762e571b",
            "detail-type": "Durable Execution Status Change",
            "source": "aws.lambda",
            "account": ACCOUNT,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "region": REGION,
            "resources": [execution],
            "detail": {
                "durableExecutionArn": execution,
                "durableExecutionName": execution.split("/")[-2],
                "functionArn": function,
                "status": "STOPPED",
                "startTimestamp": "2026-11-02T10:15:30Z",
                "endTimestamp": "2026-11-02T10:16:30Z",
            },
        },
    )
    assert cluster.describe(task)["desiredStatus"] == "STOPPED", "the reconciler stopped the task"
    cluster.kill([task])
    say("reconciler: the task of an execution that was stopped was stopped too, told by Lambda")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("template", type=pathlib.Path)
    parser.add_argument("handler", type=pathlib.Path)
    parser.add_argument("service", type=pathlib.Path)
    parser.add_argument("--reconciler", type=pathlib.Path)
    arguments = parser.parse_args()
    fargate.loopback_up()
    programs = {"Handler": arguments.handler.resolve()}
    if arguments.reconciler:
        programs["Reconciler"] = arguments.reconciler.resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        peer = Peer(folder)
        running = [peer]
        try:
            outputs = create(peer, json.loads(arguments.template.read_text()), programs, folder)
            role = peer.client("cloudformation").describe_stack_resource(StackName=STACK, LogicalResourceId="WorkerRole")
            role = role["StackResourceDetail"]["PhysicalResourceId"]
            tasks.Agent((fargate.AGENT, 80), peer.client("sts"), f"arn:aws:iam::{ACCOUNT}:role/{role}")
            cluster = tasks.Fargate(peer.client("ecs"), outputs["ClusterName"], folder)
            running.append(cluster)
            for service in (
                PeersService(peer, outputs),
                OurService(peer, outputs, programs["Handler"], arguments.service, folder),
            ):
                running.append(service)
                rehearse(service, cluster)
                if arguments.reconciler and isinstance(service, PeersService):
                    rehearse_events(service, cluster, Reconciler(peer, outputs))
        except BaseException:
            for log in sorted(folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-4000:]}", file=sys.stderr)
            raise
        finally:
            for one in reversed(running):
                one.end()
    say("done")


if __name__ == "__main__":
    main()

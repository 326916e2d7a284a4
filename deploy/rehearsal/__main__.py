"""Rehearses a deployment: the stack is created in a peer that plays AWS, and jobs run through what was created there.

    unshare --map-root-user --net python deploy/rehearsal TEMPLATE HANDLER SERVICE [--reconciler FILE]

TEMPLATE is what deploy/translate.py printed, HANDLER and the reconciler are the `bootstrap`s that `sam build` made, SERVICE
is the emulator's example `durable-service`. The same handler runs under two durable services that know nothing of each
other: the peer's and ours. The peer checks every call against the role that makes it. In a network namespace of its own,
because the credentials of a task are at a fixed address, and the peer opens ports that nobody asked for.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

import tasks
from peer import ACCOUNT, REGION, STACK, Peer, create, say, until
from services import OurService, PeersService

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
import fargate  # noqa: E402

SAMPLE = {"message": "Test ECS task", "processingTime": 1}
RESULT = {"status": "completed", "message": "Processed: Test ECS task"}


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
            peers = PeersService(peer, outputs)
            rehearse(peers, cluster)
            if arguments.reconciler:
                rehearse_events(peers, cluster, Reconciler(peer, outputs))
            ours = OurService(peer, outputs, programs["Handler"], arguments.service, folder)
            running.append(ours)
            rehearse(ours, cluster)
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

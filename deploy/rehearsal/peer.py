"""The peer that plays AWS, and the stack that is created in it."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile

import adjust
import boto3

ACCOUNT, REGION, STACK = "123456789012", "eu-west-1", "longhaul"


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

"""The two durable services that the handler runs under: the peer's and ours."""

import json
import shlex
import subprocess

import boto3
from peer import REGION, until


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

"""Plays Fargate: runs the containers of tasks that a peer has accepted, as the task definition and the overrides say.

A container is a process here. It gets the variables, the command and the credentials that Fargate would give it; its
image, its user and its file system are this machine's.
"""

import http.server
import json
import os
import pathlib
import signal
import subprocess
import threading
import time


class Agent:
    """The ECS agent's credentials endpoint: the task's role, taken on at the peer."""

    PATH = "/v2/credentials/task"

    def __init__(self, address, sts, role):
        self.sts, self.role = sts, role
        agent = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps(agent.credentials()).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(address, Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def credentials(self):
        given = self.sts.assume_role(RoleArn=self.role, RoleSessionName="task")["Credentials"]
        return {
            "RoleArn": self.role,
            "AccessKeyId": given["AccessKeyId"],
            "SecretAccessKey": given["SecretAccessKey"],
            "Token": given["SessionToken"],
            "Expiration": given["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


class Fargate:
    """Runs every task of a cluster once."""

    def __init__(self, ecs, cluster, logs):
        self.ecs, self.cluster, self.logs = ecs, cluster, pathlib.Path(logs)
        self.lambda_url = None
        self.run, self.processes = {}, {}

    def look(self):
        """Starts what is new. Returns the tasks that have a container running."""
        for task in self.ecs.list_tasks(cluster=self.cluster)["taskArns"]:
            if task not in self.run:
                self.start(self.ecs.describe_tasks(cluster=self.cluster, tasks=[task])["tasks"][0])
        return [task for task, process in self.processes.items() if process.poll() is None]

    def start(self, task):
        definition = self.ecs.describe_task_definition(taskDefinition=task["taskDefinitionArn"])["taskDefinition"]
        (override,) = task["overrides"]["containerOverrides"]
        container = next(c for c in definition["containerDefinitions"] if c["name"] == override["name"])
        variables = {e["name"]: e["value"] for e in container.get("environment", []) + override["environment"]}
        command = override.get("command") or container["command"]
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": Agent.PATH,
            "AWS_ENDPOINT_URL_LAMBDA": self.lambda_url,
            **variables,
        }
        log = (self.logs / f"{task['taskArn'].rsplit('/', 1)[1]}.log").open("w")
        self.run[task["taskArn"]] = {"task": task, "variables": variables, "log": pathlib.Path(log.name)}
        self.processes[task["taskArn"]] = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )

    def kill(self, tasks):
        """Ends containers as a failing machine would, with no word to anybody."""
        for task in tasks:
            self.processes[task].send_signal(signal.SIGKILL)

    def dead(self):
        """The tasks whose container has ended."""
        return [task for task, process in self.processes.items() if process.poll() is not None]

    def latest(self, before):
        """The last task that was started, which was not among those before."""
        task = list(self.run)[-1]
        assert task not in before
        return task

    def describe(self, task):
        return self.ecs.describe_tasks(cluster=self.cluster, tasks=[task])["tasks"][0]

    def stopped_event(self, task, **more):
        """The event that ECS sends when the task has stopped (Amazon ECS Developer Guide, "Amazon ECS task state
        change events"), with what is known of this one."""
        known = self.run[task]["task"]
        definition = known["taskDefinitionArn"]
        return {
            "version": "0",
            "id": "3317b2af-7005-947d-b652-f55e762e571a",
            "detail-type": "ECS Task State Change",
            "source": "aws.ecs",
            "account": task.split(":")[4],
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "region": task.split(":")[3],
            "resources": [task],
            "detail": {
                "taskArn": task,
                "clusterArn": known["clusterArn"],
                "taskDefinitionArn": definition,
                "lastStatus": "STOPPED",
                "desiredStatus": "STOPPED",
                "launchType": "FARGATE",
                "startedBy": known["startedBy"],
                "overrides": known["overrides"],
                **more,
            },
        }

    def end(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

"""Runs AWS's conformance suite for durable executions against a service on loopback.

The suite deploys with SAM and asks CloudFormation and CloudWatch; there is neither here. So this program starts the
service with one function for each requirement, and hands the suite's own `validate_description`, which invokes,
completes the callbacks and compares, three clients: boto3's for Lambda, with the service as its endpoint, and two that
answer from this machine which function has which name and what it printed. Nothing of the comparison is replaced.

Afterwards it reads all these executions again and compares the answers with the API model (`model.py`).

usage: run.py SERVICE HANDLER SUITE=COUNT...   (the programs `durable-service` and `longhaul-conformance`)
"""

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aws_durable_execution_conformance_tests as package
import boto3
from aws_durable_execution_conformance_tests.sam import Invoker
from aws_durable_execution_conformance_tests.validate import validate_description
from model import Answers

REQUIREMENTS = Path(package.__file__).parent / "test_requirements"
REGION = "us-east-1"
WORKERS = 6

# What the functions of the suite `invoke` invoke.
TARGETS = ["conformance-echo", "conformance-failing"]


class Stack:
    """What the suite asks CloudFormation: a function's name is its logical name."""

    def __init__(self, names):
        self._names = names

    def get_paginator(self, _operation):
        return self

    def paginate(self, **_request):
        kind = "AWS::Lambda::Function"
        yield {
            "StackResourceSummaries": [
                {"ResourceType": kind, "LogicalResourceId": name, "PhysicalResourceId": name} for name in self._names
            ]
        }

    def describe_stack_resource(self, *, LogicalResourceId, **_request):
        return {"StackResourceDetail": {"PhysicalResourceId": LogicalResourceId}}


class Logs:
    """What the suite asks CloudWatch: the records of one execution in the log of one function."""

    def __init__(self, folder):
        self._folder = folder

    def filter_log_events(self, *, logGroupName, filterPattern, **_request):
        function = logGroupName.removeprefix("/aws/lambda/")
        events = []
        for line in (self._folder / f"{function}.log").read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            # The pattern is `$.executionArn = "ARN"`, with an alternative for the field's other name.
            if isinstance(record, dict) and f'"{record.get("executionArn")}"' in filterPattern:
                events.append({"message": line, "timestamp": len(events), "ingestionTime": 0})
        return {"events": events}


def number(path):
    return [int(part) for part in path.stem.split("-")]


def main():
    service, handler, *wanted = sys.argv[1:]
    suites = {suite: int(count) for suite, count in (word.split("=") for word in wanted)}
    cases = {suite: sorted((REQUIREMENTS / suite).glob("*.yaml"), key=number) for suite in suites}
    names = [f"conformance-{path.stem}" for paths in cases.values() for path in paths] + TARGETS

    with tempfile.TemporaryDirectory() as scratch:
        state = Path(scratch) / "state"
        process = subprocess.Popen(
            [service, state, *(f"{name}={handler}" for name in names)], stdout=subprocess.PIPE, text=True
        )
        try:
            url = process.stdout.readline().strip()
            client = boto3.client(
                "lambda",
                region_name=REGION,
                endpoint_url=url,
                aws_access_key_id="local",
                aws_secret_access_key="local",
            )
            stack = Stack(names)
            clients = {"lambda": client, "cloudformation": stack, "logs": Logs(state / "logs")}
            invoker = Invoker("local", region=REGION, lambda_client=client, cfn_client=stack)

            def check(path):
                name = f"conformance-{path.stem}"
                return validate_description(
                    name, path.stem, str(path), invoker, scratch, REGION, clients, output_dir=scratch
                )

            with ThreadPoolExecutor(WORKERS) as workers:
                found = {suite: list(workers.map(check, paths)) for suite, paths in cases.items()}
            answers = Answers(url)
            for name in names:
                answers.function(name)
        finally:
            process.terminate()
            process.wait()

    failed = False
    for suite, results in found.items():
        passed = sum(result.passed for result in results)
        print(f"{passed} of {suites[suite]} requirements of the suite {suite} passed")
        failed |= passed != suites[suite] or len(results) != suites[suite]
        for result in results:
            if not result.passed:
                print(f"  {result.description_id}: " + "\n    ".join(result.errors))
    print(
        f"{answers.read} answers about these executions, with {len(answers.event_types)} types of events, "
        f"differ from the API model in {len(answers.faults)} ways"
    )
    failed |= bool(answers.faults)
    for fault in sorted(answers.faults):
        print(f"  {fault}")
    sys.exit(failed)


if __name__ == "__main__":
    main()

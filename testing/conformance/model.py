"""Compares a service's answers with the API model that botocore carries, member by member.

SDKs pass over what they do not know and what is missing; this does not: a member the model does not have, a required one
that is not there, and a value outside the model's type, pattern, range or list is a fault.
"""

import json
import re
import urllib.request
from urllib.parse import quote

import botocore.session


def faults(shape, value, where):
    """What is wrong with `value`, which should be of this shape."""
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            return [f"{where}: not an object"]
        found = [f"{where}: no member {name} in the model" for name in value if name not in shape.members]
        found += [f"{where}: {name} is required" for name in shape.required_members if name not in value]
        for name, member in shape.members.items():
            if name in value:
                found += faults(member, value[name], f"{where}.{name}")
        return found
    if kind == "list":
        if not isinstance(value, list):
            return [f"{where}: not a list"]
        return [fault for item in value for fault in faults(shape.member, item, f"{where}[]")]
    types = {"string": str, "boolean": bool, "timestamp": (int, float)}.get(kind, int)
    if not isinstance(value, types) or isinstance(value, bool) != (kind == "boolean"):
        return [f"{where}: {value!r} is not a {kind}"]
    found = []
    size = len(value) if kind == "string" else value
    if not shape.metadata.get("min", size) <= size <= shape.metadata.get("max", size):
        found.append(f"{where}: {size} is out of range")
    if kind == "string":
        # Java's classes may hold a bare `-_`, which Python reads as the same.
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            found.append(f"{where}: {value!r} does not match {pattern}")
        if shape.enum and value not in shape.enum:
            found.append(f"{where}: {value!r} is none of {shape.enum}")
    return found


class Answers:
    """Reads executions of the service at `url` and notes what the model does not allow."""

    def __init__(self, url):
        self._url = url
        self._model = botocore.session.get_session().get_service_model("lambda")
        self.read = 0
        self.faults = set()
        self.event_types = set()

    def _get(self, operation, path):
        with urllib.request.urlopen(self._url + path) as response:
            answer = json.load(response)
        self.read += 1
        self.faults.update(faults(self._model.operation_model(operation).output_shape, answer, operation))
        return answer

    def function(self, name):
        """Reads every execution of a function."""
        listed = self._get(
            "ListDurableExecutionsByFunction", f"/2025-12-01/functions/{name}/durable-executions"
        )
        for execution in listed["DurableExecutions"]:
            path = f"/2025-12-01/durable-executions/{quote(execution['DurableExecutionArn'], safe='')}"
            self._get("GetDurableExecution", path)
            for data in ("true", "false"):
                history = self._get(
                    "GetDurableExecutionHistory", f"{path}/history?IncludeExecutionData={data}"
                )
                self.event_types.update(event["EventType"] for event in history["Events"])

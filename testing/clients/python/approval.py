"""A durable function on AWS's SDK for Python: a step, a wait and a callback, one after the other."""

from aws_durable_execution_sdk_python import DurableContext, durable_execution
from aws_durable_execution_sdk_python.config import CallbackConfig, Duration


@durable_execution
def handler(event: dict, context: DurableContext) -> dict:
    def charge(_) -> int:
        # One line for each time the body is run: a replay must add none.
        with open(event["ran"], "a", encoding="utf-8") as ran:
            ran.write("charge\n")
        return event["amount"] * 2

    charged = context.step(charge, name="charge")
    context.wait(Duration.from_seconds(1), name="cool-off")
    approval = context.create_callback(
        name="approval", config=CallbackConfig(timeout=Duration.from_minutes(10))
    )
    return {"charged": charged, "approval": approval.result()}

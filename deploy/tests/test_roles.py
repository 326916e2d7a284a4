"""Every role allows what the code that it runs calls, and nothing else."""

import fnmatch
import re

import rust
import stack
from policy_sentry.querying.actions import get_action_data

# What each function of an API trait calls at AWS.
API = {
    "backends/ecs/src": {
        "run_task": {"ecs:RunTask", "ecs:TagResource", "iam:PassRole"},
        "describe_task": {"ecs:DescribeTasks"},
        "container_names": {"ecs:DescribeTaskDefinition"},
        "stop_task": {"ecs:StopTask"},
        "list_tasks": {"ecs:ListTasks"},
    },
    "backends/batch/src": {
        "submit_job": {"batch:SubmitJob", "batch:TagResource"},
        "list_jobs": {"batch:ListJobs"},
        "describe_jobs": {"batch:DescribeJobs"},
        "terminate_job": {"batch:TerminateJob"},
    },
}
API_CALL = {
    "backends/ecs/src": r"api\(\)\s*\.\s*(\w+)\(",
    "backends/batch/src": r"self\s*\.\s*api\s*\.\s*(\w+)\(",
}
# Which functions of the backend trait a Lambda function calls.
USES = {"HandlerRole": ["start", "describe", "cancel", "list"], "ReconcilerRole": ["list", "cancel"]}
EXECUTIONS = {"lambda:CheckpointDurableExecution", "lambda:GetDurableExecutionState"}
# An operation of the SDK makes the durable service invoke a function with the role of the one that asks.
CHAINED = {"lambda:InvokeFunction"}
CALLBACKS = {
    "lambda:SendDurableExecutionCallbackSuccess",
    "lambda:SendDurableExecutionCallbackFailure",
    "lambda:SendDurableExecutionCallbackHeartbeat",
}
PAYLOADS = {
    "s3:PutObject",
    "s3:GetObject",
    # Not called: S3 tells who may not list that a missing object is forbidden (S3 API, GetObject).
    "s3:ListBucket",
}
# What AWS itself does with the role of a function or a task.
LAMBDA = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sqs:SendMessage",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
}
AGENT = {"logs:CreateLogStream", "logs:PutLogEvents"}
AGENT_WITH_PRIVATE_IMAGE = {
    "ecr:GetAuthorizationToken",
    "ecr:BatchCheckLayerAvailability",
    "ecr:GetDownloadUrlForLayer",
    "ecr:BatchGetImage",
}
EVERYTHING = {
    "Backends": "ecs,batch",
    "WorkerImage": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/render:3",
    "RepositoryArns": "arn:aws:ecr:eu-west-1:123456789012:repository/render,arn:aws:ecr:eu-west-1:123456789012:repository/longhaul",
}


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(of, role):
    """The statements of a role, also those of policies that are attached to it."""
    wanted = of.properties(role)
    assert "ManagedPolicyArns" not in wanted, "a managed policy allows more than is called"
    documents = [policy["PolicyDocument"] for policy in wanted["Policies"]]
    for resource in of.resources.values():
        if resource["Type"] == "AWS::IAM::Policy" and of.value(role) in resource["Properties"]["Roles"]:
            documents.append(resource["Properties"]["PolicyDocument"])
    return [statement for document in documents for statement in document["Statement"]]


def actions(of, role):
    return {action for statement in statements(of, role) for action in listed(statement["Action"])}


def allows(of, role, action, resource, **context):
    """Whether the role allows the action on the resource, with these condition keys."""
    for statement in statements(of, role):
        assert statement["Effect"] == "Allow"
        assert set(statement.get("Condition", {})) <= {"ArnEquals", "StringEquals"}, "a condition that is not known here"
        conditions = [
            (key.replace(":", "_"), listed(values))
            for pairs in statement.get("Condition", {}).values()
            for key, values in pairs.items()
        ]
        if (
            action in listed(statement["Action"])
            and any(fnmatch.fnmatchcase(resource, pattern) for pattern in listed(statement["Resource"]))
            and all(context.get(key) in values for key, values in conditions)
        ):
            return True
    return False


def calls(folder, role):
    found = set()
    for function in USES[role]:
        for call in rust.reached(folder, function, API_CALL[folder]):
            found |= API[folder][call]
    return found


def test_the_calls_that_are_known_here_are_those_of_the_code():
    for folder, known in API.items():
        in_code = {call for use in ("start", "cancel", "describe", "list") for call in rust.reached(folder, use, API_CALL[folder])}
        assert in_code == set(known), folder
        named = {action.split(":")[1] for action in set().union(*known.values())} - {"TagResource", "PassRole"}
        operations = {operation(name).split(":")[1] for name in rust.sdk_operations(folder)}
        assert operations == named, folder


def test_the_functions_use_of_a_backend_what_is_said_here():
    trait = r"backend\s*\.\s*(start|describe|cancel|list)\("
    assert rust.reached("lambda/src", "handle", trait) == set(USES["HandlerRole"])
    assert rust.reached("lambda/src", "cancel_all", trait) == set(USES["ReconcilerRole"])
    texts = [rust.source(path) for path in rust.sources("lambda/src/reconciler")]
    used = {name for text in texts for name in re.findall(r"\.(start|describe|cancel|list|cancel_all|run)\(", text)}
    assert used - {"run"} == {"cancel_all"}, "the reconciler acts on backends through cancel_all only"


def operation(name):
    return "lambda:" + "".join(part.title() for part in name.split("_"))


def test_the_worker_calls_the_three_callbacks_and_nothing_else():
    assert {operation(name) for name in rust.sdk_operations("workers/src")} == CALLBACKS


def test_the_durable_sdk_calls_checkpoint_and_state():
    client = rust.sdk_crate("aws-durable-execution-sdk") / "client.rs"
    assert {operation(name) for name in rust.sdk_operations(client) if "durable" in name} == EXECUTIONS


def test_the_payload_store_gets_and_puts_and_nothing_else():
    texts = [rust.source(path) for path in rust.sources("payloads/src")]
    def called(on):
        return {name for text in texts for name in re.findall(on + r"\s*\.\s*(\w+)\(", text)}

    # The store asks its own narrow trait, and that one's implementation object_store's.
    assert called("objects") == {"get", "create"}
    assert {name for name in called("self") if name.endswith("_opts")} == {"get_opts", "put_opts"}


def test_the_handler_is_allowed_what_it_calls_and_nothing_else():
    ecs = EXECUTIONS | CHAINED | PAYLOADS | LAMBDA | calls("backends/ecs/src", "HandlerRole")
    assert actions(stack.Stack(), "HandlerRole") == ecs
    both = ecs | calls("backends/batch/src", "HandlerRole")
    assert actions(stack.Stack(**EVERYTHING), "HandlerRole") == both


def test_the_reconciler_is_allowed_what_it_calls_and_nothing_else():
    told = {operation(name) for name in rust.sdk_operations("lambda/src/reconciler")}
    assert "lambda:SendDurableExecutionCallbackFailure" in told
    ecs = told | LAMBDA | calls("backends/ecs/src", "ReconcilerRole")
    assert actions(stack.Stack(), "ReconcilerRole") == ecs
    both = ecs | calls("backends/batch/src", "ReconcilerRole")
    assert actions(stack.Stack(**EVERYTHING), "ReconcilerRole") == both


def test_a_job_is_allowed_its_callbacks_and_payloads_and_nothing_else():
    for of in (stack.Stack(), stack.Stack(**EVERYTHING)):
        assert actions(of, "WorkerRole") == CALLBACKS | PAYLOADS


def test_the_agent_is_allowed_to_log_and_to_pull_a_private_image_only():
    assert actions(stack.Stack(), "WorkerExecutionRole") == AGENT
    assert actions(stack.Stack(**EVERYTHING), "WorkerExecutionRole") == AGENT | AGENT_WITH_PRIVATE_IMAGE


def test_callbacks_and_checkpoints_are_bound_to_the_handlers_executions():
    of = stack.Stack(**EVERYTHING)
    mine = of.properties("TaskStopped")["Targets"][0]["Arn"].replace("Reconciler", "Handler")
    for role, some in [("WorkerRole", CALLBACKS), ("HandlerRole", EXECUTIONS)]:
        for action in some:
            assert allows(of, role, action, f"{mine}:7/durable-execution/name/id")
            assert not allows(of, role, action, f"{mine}x:7/durable-execution/name/id")
            # An ARN without a version never matches an execution (Lambda Developer Guide, "Security and
            # permissions for Lambda durable functions").
            assert not allows(of, role, action, mine)
    failure = "lambda:SendDurableExecutionCallbackFailure"
    assert allows(of, "ReconcilerRole", failure, f"{mine}:7/durable-execution/name/id")
    assert not allows(of, "ReconcilerRole", failure, mine.replace("Handler", "Other") + ":7/durable-execution/n/i")


def test_the_handler_invokes_nothing_but_versions_of_itself():
    of = stack.Stack(**EVERYTHING)
    mine = of.properties("TaskStopped")["Targets"][0]["Arn"].replace("Reconciler", "Handler")
    invoke = lambda resource: allows(of, "HandlerRole", "lambda:InvokeFunction", resource)
    # A durable function is invoked with a qualifier.
    assert invoke(f"{mine}:7") and invoke(f"{mine}:prod")
    assert not invoke(mine) and not invoke(f"{mine}x:7")
    for role in ("ReconcilerRole", "WorkerRole"):
        assert not allows(of, role, "lambda:InvokeFunction", f"{mine}:7")


def test_tasks_are_started_from_the_one_definition_in_the_one_cluster():
    of = stack.Stack()
    cluster = of.properties("Handler")["Environment"]["Variables"]["ECS_CLUSTER"]
    definition = stack.arn("ecs", "task-definition/longhaul-worker:")
    run = lambda resource, cluster: allows(of, "HandlerRole", "ecs:RunTask", resource, ecs_cluster=cluster)
    assert run(definition + "7", cluster) and run(definition + "8", cluster)
    assert not run(definition + "7", cluster + "x")
    assert not run(stack.arn("ecs", "task-definition/other:1"), cluster)
    tag = lambda create: allows(
        of, "HandlerRole", "ecs:TagResource", stack.arn("ecs", f"task/{of.value('Cluster')}/0a1b"), ecs_CreateAction=create
    )
    assert tag("RunTask") and not tag("CreateCluster") and not tag(None)


def test_tasks_are_stopped_listed_and_described_in_the_one_cluster():
    of = stack.Stack()
    cluster = of.value("Cluster")
    for role, action in [
        ("HandlerRole", "ecs:StopTask"),
        ("HandlerRole", "ecs:DescribeTasks"),
        ("ReconcilerRole", "ecs:StopTask"),
        ("ReconcilerRole", "ecs:ListTasks"),
    ]:
        arn = lambda name: dict(ecs_cluster=stack.arn("ecs", f"cluster/{name}"))
        assert allows(of, role, action, stack.arn("ecs", f"task/{cluster}/0a1b"), **arn(cluster)), (role, action)
        assert not allows(of, role, action, stack.arn("ecs", "task/other/0a1b"), **arn("other")), (role, action)


def test_only_the_tasks_two_roles_are_passed_on_and_only_to_tasks():
    of = stack.Stack(**EVERYTHING)
    passes = lambda role, to: allows(of, "HandlerRole", "iam:PassRole", role, iam_PassedToService=to)
    for role in ("WorkerRole", "WorkerExecutionRole"):
        assert passes(of.attribute(role, "Arn"), "ecs-tasks.amazonaws.com")
        assert not passes(of.attribute(role, "Arn"), "lambda.amazonaws.com")
    assert not passes(of.attribute("ReconcilerRole", "Arn"), "ecs-tasks.amazonaws.com")


def test_jobs_are_submitted_from_the_one_definition_to_the_one_queue():
    of = stack.Stack(**EVERYTHING)
    submit = lambda resource: allows(of, "HandlerRole", "batch:SubmitJob", resource)
    for resource in (of.value("JobQueue"), stack.arn("batch", "job-definition/longhaul-worker:3"), stack.arn("batch", "job/x")):
        assert submit(resource), resource
    for resource in (stack.arn("batch", "job-queue/other"), stack.arn("batch", "job-definition/other:1")):
        assert not submit(resource), resource


def test_a_resource_is_every_one_only_where_a_comment_names_the_api_that_needs_it():
    text = stack.translate.TEMPLATE.read_text()
    of = stack.Stack(**EVERYTHING)
    roles = [name for name, resource in of.resources.items() if resource["Type"] == "AWS::IAM::Role"]
    assert len(roles) == 4
    for role in roles:
        for statement in statements(of, role):
            if "*" not in listed(statement["Resource"]):
                continue
            place = re.search(rf"- Sid: {statement['Sid']}\n(.*?)Resource: \"\*\"", text, re.S)[1]
            comment = " ".join(re.findall(r"# (.*)", place))
            for action in listed(statement["Action"]):
                service, name = action.split(":")
                assert name in comment, f"{statement['Sid']}: no comment names {name}"
                data = next(entry for entry in get_action_data(service, name)[service] if entry["action"] == action)
                knows = {e["resource_arn_format"] for e in get_action_data(service, name)[service]} - {"*"}
                # Service Authorization Reference: ListTasks knows container instances only.
                assert not knows or action == "ecs:ListTasks", (action, knows, data)


def test_no_action_is_a_pattern():
    of = stack.Stack(**EVERYTHING)
    for role in ("HandlerRole", "ReconcilerRole", "WorkerRole", "WorkerExecutionRole"):
        assert not [action for action in actions(of, role) if "*" in action]


def test_every_action_is_one_that_exists():
    of = stack.Stack(**EVERYTHING)
    # Newer than the Service Authorization Reference that policy_sentry carries; AWS's managed policy
    # AWSLambdaBasicDurableExecutionRolePolicy names the first two, the API Reference all.
    newer = EXECUTIONS | CALLBACKS
    for role in ("HandlerRole", "ReconcilerRole", "WorkerRole", "WorkerExecutionRole"):
        for action in actions(of, role) - newer:
            service, name = action.split(":")
            assert get_action_data(service, name), action

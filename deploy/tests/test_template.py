"""The template says what the functions, the jobs and the caller need, whatever the parameters."""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest
import rust
import stack

ROOT = rust.ROOT
SAMPLE_IMAGE = "public.ecr.aws/docker/library/python:3.12-alpine"
BOTH = {"Backends": "ecs,batch"}
OWN = {"SubnetIds": "subnet-0a1b2c3d,subnet-4e5f6a7b", "SecurityGroupIds": "sg-0a1b2c3d,sg-4e5f6a7b"}
READ = ("lambda/src", "backends/ecs/src/config", "backends/batch/src/config.rs", "payloads/src")


def variables(of, function):
    return of.properties(function)["Environment"]["Variables"]


def optional():
    """The variables that docs/deploy.md tells of as left to their defaults."""
    text = (ROOT / "docs/deploy.md").read_text()
    section = text.partition("## Variables that the template leaves alone\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, re.M))


# What the code reads.


def test_every_variable_that_the_code_reads_is_set_or_documented_as_optional():
    of = stack.Stack(**BOTH)
    read = rust.variables(*READ)
    assert read, "no variable was found in the code"
    given = set(variables(of, "Handler")) | set(variables(of, "Reconciler"))
    assert read - given == optional()


def test_every_variable_that_is_set_is_read():
    of = stack.Stack(**BOTH)
    given = set(variables(of, "Handler")) | set(variables(of, "Reconciler"))
    assert given - rust.variables(*READ) == set()


def test_both_functions_know_the_same_backends():
    for parameters in ({}, BOTH, OWN, {**BOTH, **OWN}):
        of = stack.Stack(**parameters)
        handler, reconciler = variables(of, "Handler"), variables(of, "Reconciler")
        shared = {name for name in handler if name.startswith(("ECS_", "BATCH_")) or name == "LONGHAUL_BACKEND"}
        assert {name: handler[name] for name in shared} == {name: reconciler[name] for name in shared}
        assert ("BATCH_JOB_QUEUE" in handler) == ("batch" in handler["LONGHAUL_BACKEND"])


def test_the_functions_are_given_the_logs_that_the_containers_write_to():
    of = stack.Stack(**BOTH)
    task = of.properties("WorkerTask")["ContainerDefinitions"][0]
    job = of.properties("JobDefinition")["ContainerProperties"]
    given = variables(of, "Handler")
    assert task["Name"] == given["ECS_CONTAINER"] == "worker"
    options = task["LogConfiguration"]["Options"]
    assert options["awslogs-group"] == given["ECS_LOG_GROUP"]
    assert options["awslogs-stream-prefix"] == given["ECS_LOG_STREAM_PREFIX"]
    assert job["LogConfiguration"]["Options"]["awslogs-group"] == given["BATCH_LOG_GROUP"]
    assert of.properties("JobDefinition")["JobDefinitionName"] == given["BATCH_JOB_DEFINITION"]


def test_the_default_job_is_a_job_spec_without_a_command_of_its_own():
    assert json.loads(stack.Stack().parameters["JobSpec"]) == {"name": "sample"}


# The handler.


def test_the_handler_is_durable_and_is_invoked_by_its_alias():
    of = stack.Stack()
    handler = of.properties("Handler")
    assert handler["DurableConfig"] == {"ExecutionTimeout": "86400", "RetentionPeriodInDays": "7"}
    assert handler["Runtime"] == "provided.al2023"
    assert handler["TracingConfig"] == {"Mode": "Active"}
    assert handler["DeadLetterConfig"] == {"TargetArn": of.attribute("FailedExecutions", "Arn")}
    assert handler["LoggingConfig"]["LogGroup"] == of.value("HandlerLogs")
    aliases = [r["Properties"]["Name"] for r in of.resources.values() if r["Type"] == "AWS::Lambda::Alias"]
    assert aliases == ["prod"]
    assert f"--function-name {of.value('Handler')}:prod" in of.outputs["InvokeCommand"]
    assert '\'{"message":"Test ECS task","processingTime":8}\'' in of.outputs["InvokeCommand"]
    for function, architecture in [("Handler", "x86_64"), ("Reconciler", "arm64")]:
        assert stack.Stack(Architecture=architecture).properties(function)["Architectures"] == [architecture]


def test_the_jobs_default_timeout_fits_in_the_execution():
    text = (ROOT / "core/src/spec.rs").read_text()
    hours, minutes = map(int, re.search(r"DEFAULT_TIMEOUT: Duration = Duration::from_secs\((\d+) \* (\d+)\)", text).groups())
    assert hours * minutes < int(stack.Stack().parameters["ExecutionTimeout"])


# A version pins what an execution began with, so every change must make another.


def parameters_of(template, node, seen):
    """The parameters that a part of the template depends on; through resources only where their IDs change."""
    if isinstance(node, list):
        return set().union(*(parameters_of(template, part, seen) for part in node)) if node else set()
    if not isinstance(node, dict):
        return set()
    names = set()
    for key, value in node.items():
        if key == "Ref":
            names.add(value)
        elif key == "Fn::GetAtt":
            names.add(value[0] if isinstance(value, list) else value.split(".")[0])
        elif key == "Fn::Sub":
            names |= {name.split(".")[0] for name in re.findall(r"\$\{([^}]+)\}", value)}
        elif key == "Fn::If":
            names.add(value[0])
    found = set().union(set(), *(parameters_of(template, value, seen) for value in node.values()))
    for name in names - seen:
        seen.add(name)
        if name in template["Parameters"]:
            found.add(name)
        elif name in template["Conditions"]:
            found |= parameters_of(template, template["Conditions"][name], seen)
        elif name in ("PublicSubnet1", "PublicSubnet2", "WorkerSecurityGroup", "Vpc"):
            found |= parameters_of(template, template["Resources"][name]["Properties"], seen)
    return found


def test_every_parameter_of_the_handler_makes_another_version():
    template = stack.translate.translated()
    version = next(r for r in template["Resources"].values() if r["Type"] == "AWS::Lambda::Version")
    # Another description replaces the version, which keeps the old one, and the alias follows.
    assert version["Properties"]["Description"] == {"Ref": "WorkerTask"}
    assert (version["UpdateReplacePolicy"], version["DeletionPolicy"]) == ("Retain", "Retain")
    # Lambda makes a version only of a function that has changed.
    handler = template["Resources"]["Handler"]["Properties"]
    assert handler["Environment"]["Variables"]["ECS_TASK_DEFINITION"] == {"Ref": "WorkerTask"}
    containers = template["Resources"]["WorkerTask"]["Properties"]["ContainerDefinitions"]
    worker = next(container for container in containers if container.get("Name") == "worker")
    named = set(re.findall(r"\$\{(\w+)\}", worker["DockerLabels"]["longhaul.handler"]["Fn::Sub"]))
    needed = parameters_of(template, handler, set())
    assert needed >= {"JobSpec", "SubnetIds", "Backends", "LogLevel", "VpcCidr", "ExecutionTimeout"}
    assert needed <= named
    assert template["Resources"]["WorkerTask"]["UpdateReplacePolicy"] == "Retain"


def test_a_change_of_the_code_makes_another_version():
    versions = lambda code: [
        name for name, r in stack.translate.translated(code=code)["Resources"].items() if r["Type"] == "AWS::Lambda::Version"
    ]
    assert versions("s3://bucket/one") == versions("s3://bucket/one") != versions("s3://bucket/two")


# The container.


def containers(**parameters):
    of = stack.Stack(**BOTH, **parameters)
    task = of.properties("WorkerTask")["ContainerDefinitions"][0]
    return [task, of.properties("JobDefinition")["ContainerProperties"]]


def test_out_of_the_box_the_sample_runs_with_the_script_that_calls_back():
    script = (ROOT / "deploy/default-worker.py").read_text()
    for container in containers():
        assert container["Image"] == SAMPLE_IMAGE
        assert container["Command"] == ["python3", "-u", "-c", script]
        assert (container["User"], container["ReadonlyRootFilesystem"]) == ("65534", True)


def test_the_template_holds_the_script_as_it_is():
    done = subprocess.run([sys.executable, ROOT / "deploy/embed.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nobody_takes_a_part_of_the_script_for_something_to_fill_in():
    script = (ROOT / "deploy/default-worker.py").read_text()
    for mark in ("{{resolve:", "Ref::", "$(", "${"):
        assert mark not in script
    # 64 KiB is the most that a task definition may have (ECS, "Amazon ECS service quotas").
    assert len(json.dumps(stack.Stack().properties("WorkerTask"))) < 16 * 1024


def test_an_own_image_runs_its_own_command():
    for container in containers(WorkerImage="render:3"):
        assert container["Image"] == "render:3"
        assert "Command" not in container and "User" not in container
        assert container["ReadonlyRootFilesystem"] is False


@pytest.mark.parametrize("image, expected", [("render:3", "render:3"), ("", SAMPLE_IMAGE)])
def test_an_own_command_replaces_that_of_the_image(image, expected):
    for container in containers(WorkerImage=image, WorkerCommand="render,--quality,high"):
        assert (container["Image"], container["Command"]) == (expected, ["render", "--quality", "high"])
        assert "User" not in container


def test_a_supervisor_is_put_in_front_of_an_image_that_knows_nothing_of_callbacks():
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/longhaul:install"
    of = stack.Stack(SupervisorImage=image, WorkerImage="render:3", WorkerCommand="render,--quality,high")
    task = of.properties("WorkerTask")
    first, worker = task["ContainerDefinitions"]
    assert (first["Image"], first["Essential"]) == (image, False)
    assert worker["DependsOn"] == [{"ContainerName": first["Name"], "Condition": "SUCCESS"}]
    assert worker["EntryPoint"] == ["/longhaul/longhaul-worker", "run", "--"]
    assert worker["Command"] == ["render", "--quality", "high"]
    (volume,) = task["Volumes"]
    for container, read_only in [(first, False), (worker, True)]:
        (mount,) = container["MountPoints"]
        assert mount == {"SourceVolume": volume["Name"], "ContainerPath": "/longhaul", "ReadOnly": read_only}
    assert [c["Name"] for c in stack.Stack().properties("WorkerTask")["ContainerDefinitions"]] == ["worker"]


def test_a_container_knows_its_region():
    for container in containers():
        assert {"Name": "AWS_REGION", "Value": stack.REGION} in container["Environment"]


def test_batch_gets_the_sizes_that_ecs_gets():
    for cpu, vcpus in [("256", "0.25"), ("4096", "4"), ("16384", "16")]:
        of = stack.Stack(**BOTH, WorkerCpu=cpu, WorkerMemory="32768")
        needs = of.properties("JobDefinition")["ContainerProperties"]["ResourceRequirements"]
        assert needs == [{"Type": "VCPU", "Value": vcpus}, {"Type": "MEMORY", "Value": "32768"}]
        assert of.properties("WorkerTask")["Cpu"] == cpu


# The network.


def test_without_subnets_a_network_with_two_public_ones_is_made():
    of = stack.Stack(**BOTH)
    subnets = [name for name, r in of.resources.items() if r["Type"] == "AWS::EC2::Subnet"]
    assert len(subnets) == 2
    assert len({of.properties(name)["CidrBlock"] for name in subnets}) == 2
    assert len({of.properties(name)["AvailabilityZone"] for name in subnets}) == 2
    ids = [of.value(name) for name in subnets]
    assert variables(of, "Handler")["ECS_SUBNETS"].split(",") == ids
    assert of.properties("ComputeEnvironment")["ComputeResources"]["Subnets"] == ids


def test_with_subnets_nothing_of_a_network_is_made():
    of = stack.Stack(**BOTH, **OWN)
    assert not [r for r in of.resources.values() if r["Type"].startswith("AWS::EC2::")]
    given = variables(of, "Handler")
    assert (given["ECS_SUBNETS"], given["ECS_SECURITY_GROUPS"]) == (OWN["SubnetIds"], OWN["SecurityGroupIds"])
    compute = of.properties("ComputeEnvironment")["ComputeResources"]
    assert compute["Subnets"] == OWN["SubnetIds"].split(",")
    assert compute["SecurityGroupIds"] == OWN["SecurityGroupIds"].split(",")


def test_a_rule_says_what_is_missing():
    assert stack.Stack().broken_rules() == []
    assert stack.Stack(**OWN, AssignPublicIp="DISABLED").broken_rules() == []
    for parameters, missing in [
        ({"SubnetIds": OWN["SubnetIds"]}, "SecurityGroupIds is missing"),
        ({"SecurityGroupIds": OWN["SecurityGroupIds"]}, "SubnetIds is missing"),
        ({"AssignPublicIp": "DISABLED"}, "SubnetIds is missing"),
        ({"SupervisorImage": "l", "WorkerImage": "r"}, "WorkerCommand is missing"),
        ({"SupervisorImage": "l", "WorkerCommand": "r"}, "WorkerImage is missing"),
    ]:
        (said,) = stack.Stack(**parameters).broken_rules()
        assert said.startswith(missing)


def test_every_default_is_a_value_that_is_allowed():
    for name, parameter in stack.Stack().template["Parameters"].items():
        default = str(parameter["Default"])
        assert parameter["Description"]
        assert re.fullmatch(parameter.get("AllowedPattern", ".*"), default), name
        assert default in map(str, parameter.get("AllowedValues", [default])), name


@pytest.mark.parametrize(
    "name, right, wrong",
    [
        ("SubnetIds", ["subnet-0a1b2c3d", "subnet-0a,subnet-1b"], ["subnet-0a, subnet-1b", "vpc-1", "subnet-0a,"]),
        ("SecurityGroupIds", ["sg-0a1b2c3d", "sg-0a,sg-1b"], ["sg-" + ",sg-".join("abcdef"), "subnet-0a"]),
        ("Heartbeat", ["", "90s", "1h 30m", "0s"], ["soon", "90", "-1s"]),
        (
            "RepositoryArns",
            ["", ",".join(["arn:aws:ecr:eu-west-1:123456789012:repository/team/a"] * 2)],
            ["arn:aws:ecr:eu-west-1:123456789012:repository/*", "render:3"],
        ),
        ("VpcCidr", ["10.0.0.0/16", "10.1.0.0/23"], ["10.0.0.0/24", "10.0.0.0/8", "10.0.0.0"]),
    ],
)
def test_a_parameter_takes_what_it_can_be(name, right, wrong):
    pattern = stack.Stack().template["Parameters"][name]["AllowedPattern"]
    assert [value for value in right if not re.fullmatch(pattern, value)] == []
    assert [value for value in wrong if re.fullmatch(pattern, value)] == []


# Everything else.


def test_the_payload_bucket_is_private_encrypted_and_kept():
    of = stack.Stack()
    bucket = of.properties("Payloads")
    assert all(bucket["PublicAccessBlockConfiguration"].values()) and len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["BucketEncryption"]
    assert bucket["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] == "30"
    (deny,) = of.properties("PayloadsPolicy")["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert variables(of, "Handler")["LONGHAUL_PAYLOAD_STORE"] == f"s3://{of.value('Payloads')}"


def test_every_log_group_expires():
    of = stack.Stack(LogRetentionDays=14)
    groups = [r["Properties"] for r in of.resources.values() if r["Type"] == "AWS::Logs::LogGroup"]
    assert [group["RetentionInDays"] for group in groups] == ["14"] * 3


def test_alarms_are_made_for_whoever_wants_to_be_told():
    alarms = lambda of: [r["Properties"] for r in of.resources.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    assert alarms(stack.Stack()) == []
    topic = "arn:aws:sns:eu-west-1:123456789012:ops"
    assert [alarm["AlarmActions"] for alarm in alarms(stack.Stack(AlarmTopicArn=topic))] == [[topic]] * 2


def test_every_event_reaches_the_reconciler_or_its_queue():
    of = stack.Stack(**BOTH)
    reconciler, queue = of.attribute("Reconciler", "Arn"), of.attribute("FailedEvents", "Arn")
    rules = {name: r["Properties"] for name, r in of.resources.items() if r["Type"] == "AWS::Events::Rule"}
    assert set(rules) == {"TaskStopped", "BatchJobEnded", "ExecutionEnded"}
    invokers = {r["Properties"]["SourceArn"] for r in of.resources.values() if r["Type"] == "AWS::Lambda::Permission"}
    assert invokers == {of.attribute(name, "Arn") for name in rules}
    send = of.properties("QueuePolicy")["PolicyDocument"]["Statement"][1]
    assert set(send["Condition"]["ArnEquals"]["aws:SourceArn"]) == invokers
    for rule in rules.values():
        (target,) = rule["Targets"]
        assert target["Arn"] == reconciler
        assert target["DeadLetterConfig"] == {"Arn": queue}
    assert of.properties("Reconciler")["DeadLetterConfig"] == {"TargetArn": queue}
    assert "BatchJobEnded" not in stack.Stack().resources


def test_what_checkov_is_told_to_skip_is_explained():
    text = stack.translate.TEMPLATE.read_text()
    skips = re.findall(r"checkov:skip=(\w+)(.*)", text)
    assert skips
    assert [rule for rule, reason in skips if len(reason) < 30] == []


def test_samconfig_sets_what_exists():
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]
    given = config["deploy"]["parameters"].get("parameter_overrides", [])
    assert {pair.split("=")[0] for pair in given} <= set(stack.Stack().template["Parameters"])
    assert config["deploy"]["parameters"]["capabilities"] == "CAPABILITY_IAM"
    for resource in stack.Stack(**BOTH).resources.values():
        # Named roles would need another capability.
        assert "RoleName" not in resource["Properties"]


def test_the_documentation_lists_every_parameter_with_its_default():
    text = (ROOT / "docs/deploy.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", text.partition("## Parameters\n")[2].partition("\n## ")[0], re.M))
    parameters = stack.Stack().template["Parameters"]
    shown = {name: f"`{p['Default']}`" if str(p["Default"]) else "empty" for name, p in parameters.items()}
    assert rows == shown

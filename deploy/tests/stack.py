"""The stack as CloudFormation would make it: template.yaml with its intrinsics worked out, and invented IDs."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import translate  # noqa: E402

ACCOUNT, REGION, PARTITION, NAME = "123456789012", "eu-west-1", "aws", "longhaul"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": PARTITION,
    "AWS::StackName": NAME,
    "AWS::URLSuffix": "amazonaws.com",
}
ABSENT = object()


def arn(service, resource, region=REGION):
    return f"arn:{PARTITION}:{service}:{region}:{ACCOUNT}:{resource}"


def identity(name, resource):
    """What a `Ref` of the resource gives, and what a `GetAtt … Arn` gives."""
    kind, unique = resource["Type"], f"{NAME}-{name}-1A2B3C"
    return {
        "AWS::Lambda::Function": (unique, arn("lambda", f"function:{unique}")),
        "AWS::Lambda::Version": (arn("lambda", f"function:{NAME}-Handler-1A2B3C:7"), None),
        "AWS::Lambda::Alias": (arn("lambda", f"function:{NAME}-Handler-1A2B3C:prod"), None),
        "AWS::IAM::Role": (unique, arn("iam", f"role/{unique}", "")),
        "AWS::Logs::LogGroup": (unique, arn("logs", f"log-group:{unique}:*")),
        "AWS::SQS::Queue": (f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{unique}", arn("sqs", unique)),
        "AWS::ECS::Cluster": (unique, arn("ecs", f"cluster/{unique}")),
        "AWS::ECS::TaskDefinition": (arn("ecs", f"task-definition/{NAME}-worker:7"), None),
        "AWS::Batch::JobQueue": (arn("batch", f"job-queue/{unique}"), None),
        "AWS::Batch::ComputeEnvironment": (arn("batch", f"compute-environment/{unique}"), None),
        "AWS::Events::Rule": (unique, arn("events", f"rule/{unique}")),
        "AWS::S3::Bucket": (unique.lower(), f"arn:{PARTITION}:s3:::{unique.lower()}"),
        "AWS::EC2::Subnet": (f"subnet-0a1b2c3d{'12'[name.endswith('2')]}", None),
    }.get(kind, (unique, f"arn-of-{unique}"))


class Stack:
    """The template with its parameters, conditions and references worked out."""

    def __init__(self, **parameters):
        self.template = translate.translated()
        given = {name: entry["Default"] for name, entry in self.template["Parameters"].items()}
        unknown = set(parameters) - set(given)
        assert not unknown, f"no such parameters: {unknown}"
        self.parameters = {name: str(value) for name, value in {**given, **parameters}.items()}
        self.everything = self.template["Resources"]
        self.resources = {
            name: self.work_out({key: value for key, value in resource.items() if key != "Condition"})
            for name, resource in self.everything.items()
            if self.holds(resource.get("Condition"))
        }
        self.outputs = {
            name: self.work_out(output["Value"])
            for name, output in self.template["Outputs"].items()
            if self.holds(output.get("Condition"))
        }

    def properties(self, name):
        return self.resources[name]["Properties"]

    def holds(self, condition):
        return condition is None or self.work_out(self.template["Conditions"][condition])

    def broken_rules(self):
        """What the rules say of the parameters."""
        broken = []
        for rule in self.template["Rules"].values():
            if self.work_out(rule.get("RuleCondition", {"Fn::Equals": ["", ""]})):
                for assertion in rule["Assertions"]:
                    if not self.work_out(assertion["Assert"]):
                        broken.append(assertion["AssertDescription"])
        return broken

    def value(self, name):
        if name == "AWS::NoValue":
            return ABSENT
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            value = self.parameters[name]
            return value.split(",") if self.template["Parameters"][name]["Type"] == "CommaDelimitedList" else value
        assert self.holds(self.everything[name].get("Condition")), f"{name} is not made with these parameters"
        return identity(name, self.everything[name])[0]

    def attribute(self, name, attribute):
        assert self.holds(self.everything[name].get("Condition")), f"{name} is not made with these parameters"
        found = identity(name, self.everything[name])[1] if attribute == "Arn" else f"{name}.{attribute}"
        assert found, f"{name} has no {attribute}"
        return {"WorkerSecurityGroup.GroupId": "sg-0a1b2c3d"}.get(found, found)

    def work_out(self, node):
        if isinstance(node, list):
            return [value for value in map(self.work_out, node) if value is not ABSENT]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name, argument), = node.items()
            method = getattr(self, name.replace("Fn::", "fn_").lower(), None) if name.startswith("Fn::") else None
            if name == "Ref":
                return self.value(argument)
            if name == "Condition" and isinstance(argument, str):
                return self.holds(argument)
            if name.startswith("Fn::"):
                assert method, f"{name} is not known here"
                return method(argument)
        worked = {key: self.work_out(value) for key, value in node.items()}
        return {key: value for key, value in worked.items() if value is not ABSENT}

    def fn_getatt(self, argument):
        name, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
        return self.attribute(name, attribute)

    def fn_sub(self, text):
        assert isinstance(text, str)
        parts = text.split("${")
        done = parts[0]
        for part in parts[1:]:
            name, _, rest = part.partition("}")
            done += str(self.fn_getatt(name) if "." in name else self.value(name)) + rest
        return done

    def fn_if(self, argument):
        condition, yes, no = argument
        return self.work_out(yes if self.holds(condition) else no)

    def fn_equals(self, argument):
        one, other = map(self.work_out, argument)
        return one == other

    def fn_not(self, argument):
        return not self.work_out(argument[0])

    def fn_and(self, argument):
        return all([self.work_out(part) for part in argument])

    def fn_or(self, argument):
        return any([self.work_out(part) for part in argument])

    def fn_join(self, argument):
        return argument[0].join(self.work_out(argument[1]))

    def fn_split(self, argument):
        return self.work_out(argument[1]).split(argument[0])

    def fn_select(self, argument):
        at, values = argument
        return self.work_out(values)[int(at)]

    def fn_findinmap(self, argument):
        one, two, three = map(self.work_out, argument)
        return self.template["Mappings"][one][two][three]

    def fn_getazs(self, _):
        return [REGION + "a", REGION + "b", REGION + "c"]

    def fn_cidr(self, argument):
        import ipaddress

        block, count, bits = map(self.work_out, argument)
        return [str(net) for net in ipaddress.ip_network(block).subnets(new_prefix=32 - int(bits))][: int(count)]

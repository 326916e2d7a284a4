"""What must be changed in the translated template, and in the stack that is made of it, for a peer to play AWS.

Nothing else is changed: roles, policies, variables, the task definition and the rules are those that AWS would get.
The peer is ministack. `AUTH=true` has it check every call against the policies of the role that makes it.
"""

import json

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest


def code(template, bucket, keys):
    """The code of each function is where the rehearsal has put it: `sam deploy` would have written its own place."""
    for name, key in keys.items():
        template["Resources"][name]["Properties"]["Code"] = {"S3Bucket": bucket, "S3Key": key}


def endpoint(template, functions, url):
    """Sends the calls of the functions to the peer: on AWS the SDK finds each API by its name."""
    for name in functions:
        template["Resources"][name]["Properties"]["Environment"]["Variables"]["AWS_ENDPOINT_URL"] = url


def without(template, *names):
    """Leaves resources out, with everything that names them."""
    gone = set(names)
    while True:
        more = {
            name
            for name, resource in template["Resources"].items()
            if name not in gone and any(f'"{other}"' in json.dumps(resource) for other in gone)
        }
        if not more:
            break
        gone |= more
    for part in ("Resources", "Outputs"):
        for name in list(template[part]):
            if name in gone or any(f'"{other}"' in json.dumps(template[part][name]) for other in gone):
                del template[part][name]


def ecs_statements(template):
    """Takes resources and conditions off what the roles allow on ECS: the peer asks for the cluster as the resource of
    every call, whatever its real one, and knows none of ECS's condition keys. The actions stay as they are, and
    deploy/tests holds resources and conditions to the ARNs that they are for."""
    for resource in template["Resources"].values():
        for policy in resource["Properties"].get("Policies", []) if resource["Type"] == "AWS::IAM::Role" else []:
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement["Action"]
                if all(action.startswith("ecs:") for action in (actions if isinstance(actions, list) else [actions])):
                    statement["Resource"] = "*"
                    statement.pop("Condition", None)


def trust(template, roles):
    """Lets the account itself take on these roles, because here it plays the ECS agent, which is trusted on AWS."""
    for name in roles:
        template["Resources"][name]["Properties"]["AssumeRolePolicyDocument"]["Statement"].append(
            {"Effect": "Allow", "Principal": {"AWS": {"Fn::Sub": "${AWS::AccountId}"}}, "Action": "sts:AssumeRole"}
        )


def durable(session, url, function, wanted):
    """Makes the function durable, publishes it and moves the alias.

    ministack's CloudFormation drops `DurableConfig`, and its Lambda wants a member `Enabled` in it that AWS has not, so
    boto3 would not send it.
    """
    region = session.region_name
    body = json.dumps({"DurableConfig": {"Enabled": True, **wanted}})
    place = f"{url}/2015-03-31/functions/{function}/configuration"
    request = AWSRequest("PUT", place, data=body, headers={"content-type": "application/json"})
    SigV4Auth(session.get_credentials(), "lambda", region).add_auth(request)
    import urllib.request

    with urllib.request.urlopen(
        urllib.request.Request(place, body.encode(), dict(request.headers), method="PUT"), timeout=20
    ) as answer:
        answer.read()
    client = session.client("lambda", endpoint_url=url)
    version = client.publish_version(FunctionName=function)["Version"]
    client.update_alias(FunctionName=function, Name="prod", FunctionVersion=version)

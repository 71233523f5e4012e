"""What the roles may do is named one by one."""

import json
import re
from collections.abc import Iterator

from cfnlint.data import AdditionalSpecs
from cfnlint.helpers import load_resource

from space import EXAMPLES
from stacks import Stacks

# With "*": AWS has no resource-level permission for them, as its own list says.
WITHOUT_RESOURCE = {
    "kafka:GetBootstrapBrokers",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
# With "*" in a part of the ARN. Lambda makes the interfaces, and the least that AWS documents for them is this; it
# names the objects.
INTERFACES = "arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:*/*"
IN_PART = {
    "ec2:AssignPrivateIpAddresses": INTERFACES,
    "ec2:CreateNetworkInterface": INTERFACES,
    "ec2:DeleteNetworkInterface": INTERFACES,
    "ec2:UnassignPrivateIpAddresses": INTERFACES,
    "s3:PutObject": EXAMPLES["FailureBucketArn"] + "/*",
}
# Anybody, where the function asks for a token itself or is public.
OPEN_TO_ALL = {"StatsUrlPermission", "StatsInvokePermission"}

# Service by service, all actions, each with the kinds of resources that it takes.
KNOWN = load_resource(AdditionalSpecs, "Policies.json")


def problems(stacks: Stacks, names: set[str]) -> list[str]:
    """What is wrong with the policies of these resources."""
    found = set()
    for name in names:
        for made in stacks.variants(name):
            kind, properties = made.body["Type"], made.body["Properties"]
            found |= {f"{name}: {problem}" for problem in of_resource(name, kind, properties)}
    return sorted(found)


def uncommented(text: str) -> Iterator[str]:
    """Statements in the text of a template that no comment gives a reason for."""
    lines = [line.strip() for line in text.splitlines()]
    for place, line in enumerate(lines):
        if line.startswith("- Sid:"):
            # A statement that is not always there begins two lines before.
            before = lines[place - 3] if lines[place - 2] == "- !If" else lines[place - 1]
            if not before.startswith("#"):
                yield f"no reason is given for {line}"


def of_resource(name: str, kind: str, properties: dict) -> Iterator[str]:
    if kind == "AWS::IAM::Role":
        yield from of_policy(properties["AssumeRolePolicyDocument"], is_trust=True)
        for policy in properties.get("Policies", []):
            yield from of_policy(policy["PolicyDocument"])
        for arn in properties.get("ManagedPolicyArns", []):
            if not isinstance(arn, dict) or arn.keys() != {"Ref"}:
                yield f"takes the policy {arn}, which is not of this stack"
    elif kind == "AWS::IAM::ManagedPolicy":
        yield from of_policy(properties["PolicyDocument"])
    elif kind.startswith("AWS::IAM::"):
        yield f"is of a kind that is not looked at: {kind}"
    elif kind == "AWS::Lambda::Permission" and properties["Principal"] == "*" and name not in OPEN_TO_ALL:
        yield "lets anybody in"


def of_policy(document: dict, is_trust: bool = False) -> Iterator[str]:
    statements = document["Statement"]
    sids = [statement.get("Sid") for statement in statements]
    if len(set(sids)) < len(sids):
        yield "has two statements with one Sid"
    for statement in statements:
        sid = statement.get("Sid")
        if not re.fullmatch("[A-Za-z0-9]+", sid or ""):
            yield f"has a statement without a Sid that AWS takes: {json.dumps(statement)}"
        actions = as_list(statement.get("Action", []))
        for action in actions:
            if not is_known(action):
                yield f"{sid}: AWS has no action {action}"
        if not actions:
            yield f"{sid}: allows no action by name"
        if is_trust:
            if set(statement["Principal"]) != {"Service"} or "*" in json.dumps(statement["Principal"]):
                yield f"{sid}: lets in {statement['Principal']}, which is not a service"
            continue
        resources = as_list(statement.get("Resource", []))
        if not resources or not all(resources):
            yield f"{sid}: names no resource, or an empty one"
        for text in (json.dumps(resource) for resource in resources):
            for action in actions if "*" in text else []:
                if not may_be_wide(action, text):
                    yield f"{sid}: {action} on {text} is wider than it has to be"


def may_be_wide(action: str, resource: str) -> bool:
    if resource == '"*"':
        return action in WITHOUT_RESOURCE and not takes(action)
    return action in IN_PART and IN_PART[action] in resource


def is_known(action: str) -> bool:
    return takes(action) is not None


def takes(action: str) -> list[str] | None:
    """The kinds of resources that an action takes."""
    service, _, name = action.partition(":")
    found = KNOWN.get(service, {}).get("Actions", {}).get(name.lower())
    return None if found is None else found.get("Resources", [])


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]

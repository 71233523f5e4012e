"""What the variables of a function make it do, its role lets it do, and no more of that kind."""

import json
from collections.abc import Iterator

from stacks import Stacks

# The policies that roles share, each with the parameter or the property that asks for it.
SHARED = {"NetworkPolicy": "VpcConfig", "TracingPolicy": "TracingConfig", "SecretsKeyPolicy": "SecretsKeyArn"}


def problems(stacks: Stacks, names: set[str]) -> list[str]:
    """What is wrong with these roles, beside the functions and the trigger that they are for."""
    found = set()
    for name in ("Probe", "Flush", "Stats"):
        role, function = f"{name}Role", f"{name}Function"
        if role not in names:
            continue
        properties = {one: stacks.model.resources[one]["Properties"] for one in (role, function, "FlushTrigger")}
        own = {
            "variables": properties[function]["Environment"]["Variables"],
            "access": properties["FlushTrigger"]["SourceAccessConfigurations"] if name == "Flush" else [],
            "statements": properties[role]["Policies"][0]["PolicyDocument"]["Statement"],
        }
        shared = {
            "VpcConfig": properties[function]["VpcConfig"],
            "TracingConfig": properties[function]["TracingConfig"],
            "SecretsKeyArn": {"Ref": "SecretsKeyArn"},
            "policies": properties[role]["ManagedPolicyArns"],
        }
        for part, look in ((own, of_own), (shared, of_shared)):
            made = stacks.together(function, part)
            found |= {f"{role}: {problem}" for one in made for problem in look(**one)}
    return sorted(found)


def of_shared(policies: list, **asks) -> Iterator[str]:
    for policy, name in SHARED.items():
        asked = asks.get(name) not in (None, "", {"Mode": "PassThrough"})
        if asked != ({"Ref": policy} in policies):
            yield f"{policy} does not go with {name} {asks.get(name)}"


def of_own(variables: dict, statements: list, access: list = ()) -> Iterator[str]:
    def let(action: str, *resources) -> Iterator[str]:
        allowed = [key for one in statements if action in as_list(one["Action"]) for key in as_list(one["Resource"])]
        if sorted(map(json.dumps, allowed)) != sorted(map(json.dumps, resources)):
            yield f"{action} is for {allowed} and not for {list(resources)}"

    secrets = {value for name, value in variables.items() if name.endswith("_SECRET_ARN") and value}
    secrets |= {one["URI"] for one in access if ":secretsmanager:" in one["URI"]}
    yield from let("secretsmanager:GetSecretValue", *secrets)

    if "WM_DB_AUTH" in variables:
        user = "arn:${AWS::Partition}:rds-db:${AWS::Region}:${AWS::AccountId}:dbuser:cluster-ABCDEFGHIJKL/"
        users = [{"Fn::Sub": user + variables["WM_DB_USER"]}] if variables["WM_DB_AUTH"] == "iam" else []
        yield from let("rds-db:connect", *users)
        return

    cluster = variables["WM_STREAM_CLUSTER_ARN"]
    yield from let("kafka:GetBootstrapBrokers", *(["*"] if cluster else []))
    clusters = [cluster] if variables["WM_STREAM_SASL_MECHANISM"] == "AWS_MSK_IAM" else []
    for action in ("Connect", "WriteDataIdempotently"):
        yield from let(f"kafka-cluster:{action}", *clusters)
    topics = [topic(cluster, variables["WM_STREAM_TOPIC"]) for cluster in clusters]
    for action in ("DescribeTopic", "WriteData"):
        yield from let(f"kafka-cluster:{action}", *topics)


def topic(cluster: str | dict, name: str) -> str | dict:
    """The ARN of a topic, which AWS knows if the cluster is yet to be made."""
    if isinstance(cluster, str):
        return f"{cluster.replace(':cluster/', ':topic/')}/{name}"
    topics = {"Fn::Join": [":topic/", {"Fn::Split": [":cluster/", cluster]}]}
    return {"Fn::Sub": [f"${{Topics}}/{name}", {"Topics": topics}]}


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]

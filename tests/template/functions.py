"""The functions get what their code reads, and the schedules agree with them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from stacks import Stacks

REPOSITORY = Path(__file__).parents[2]
# Such as tracing::info!(probed, missed, "tick done").
LOGGED = re.compile(r'tracing::info!\(([\w, ]+), "([^"{]+)"\)')
BINARIES = {"ProbeFunction": "probe", "FlushFunction": "flush", "StatsFunction": "stats"}
# Variables that the C library reads, not our code.
OF_THE_SYSTEM = {"RES_OPTIONS"}


def problems(stacks: Stacks, names: set[str]) -> list[str]:
    """What is wrong with the environment of these functions."""
    found = set()
    for name in BINARIES.keys() & names:
        known = read_by(BINARIES[name])
        for made in stacks.variants(name):
            variables = made.body["Properties"]["Environment"]["Variables"]
            found |= {f"{name}: {variable} is read by nothing" for variable in variables.keys() - known - OF_THE_SYSTEM}
            found |= {f"{name}: {problem}" for problem in of_environment(name, variables, made.chosen)}
    return sorted(found)


def read_by(binary: str) -> set[str]:
    """The variables that are named in the code of a function, or in what the functions share."""
    return {name for file in code_of(f"functions/{binary}", "shared") for name in re.findall(r'"(WM_[A-Z_]+)"', file)}


def code_of(*folders: str) -> list[str]:
    return [file.read_text() for folder in folders for file in sorted((REPOSITORY / folder).rglob("*.rs"))]


def of_metrics(stacks: Stacks) -> Iterator[str]:
    """What is counted from logs that no function writes."""
    for name, resource in stacks.model.resources.items():
        if resource["Type"] != "AWS::Logs::MetricFilter":
            continue
        properties = resource["Properties"]
        binary = properties["LogGroupName"]["Ref"].removesuffix("LogGroup").lower()
        pattern, value = properties["FilterPattern"], properties["MetricTransformations"][0]["MetricValue"]
        lines = [line for file in code_of(f"functions/{binary}") for line in re.findall(LOGGED, file)]
        expected = [
            (f'{{ $.fields.message = "{line}" }}', f"$.fields.{field}")
            for fields, line in lines
            for field in fields.split(", ")
        ]
        if (pattern, value) not in expected:
            yield f"{name}: {binary} logs no line with {value} and {pattern}"


def of_environment(name: str, variables: dict, chosen: dict) -> Iterator[str]:
    for variable, value in variables.items():
        if not isinstance(value, str | int | dict) or isinstance(value, bool):
            yield f"{variable} is {value!r} and not text"
        if "{{resolve:" in str(value):
            yield f"{variable} holds a secret"
    has = {variable for variable, value in variables.items() if value != ""}
    if name == "ProbeFunction":
        if len(has & {"WM_STREAM_BOOTSTRAP_SERVER", "WM_STREAM_CLUSTER_ARN"}) != 1:
            yield "has not just one of the servers and the cluster"
        if ("WM_STREAM_SECRET_ARN" in has) == (variables["WM_STREAM_SASL_MECHANISM"] == "AWS_MSK_IAM"):
            yield "has credentials beside those of IAM, or none"
        if "WM_STREAM_CA_SECRET_ARN" in has and "WM_STREAM_CLUSTER_ARN" in has:
            yield "has a CA for a cluster of MSK"
        if (variables["WM_STREAM_TOPIC_PARTITIONS"] or 0) != chosen["TopicPartitions"]:
            yield f"makes the topic, or not, with TopicPartitions {chosen['TopicPartitions']}"
    else:
        if ("WM_DB_SECRET_ARN" in has) == (variables["WM_DB_AUTH"] == "iam"):
            yield "has a secret of the database beside IAM, or none"
        if variables["WM_DB_AUTH"] == "iam" and not {"WM_DB_CONNECTION_STRING", "WM_DB_USER"} <= has:
            yield "does not know where the database is, or who it is there"
    if name == "StatsFunction":
        # Who may ask is decided in one place: by IAM, by the tokens, or nowhere.
        access = chosen["StatsAccess"]
        if ("WM_STATS_TOKENS_SECRET_ARN" in has) != (access == "tokens"):
            yield f"has tokens, or none, with StatsAccess {access}"
        if (variables["WM_STATS_PUBLIC"] == "true") != (access == "public"):
            yield f"is public, or not, with StatsAccess {access}"


def of_whole(stack: dict, values: dict) -> Iterator[str]:
    """What does not fit together in a whole stack."""
    resources = stack["Resources"]
    schedules = [body["Properties"] for body in resources.values() if body["Type"] == "AWS::Scheduler::Schedule"]
    inputs = [json.loads(schedule["Target"]["Input"]) for schedule in schedules]
    expected = [
        {"scheduled_at": "<aws.scheduler.scheduled-time>", "shard": shard, "shards": values["Shards"]}
        for shard in range(values["Shards"])
    ]
    if inputs != expected:
        yield f"with {values['Shards']} shards, the schedules send {inputs}"

    probe = resources["ProbeFunction"]["Properties"]
    minutes = int(probe["Environment"]["Variables"]["WM_PROBE_TICK"].removesuffix("m"))
    rate = "rate(1 minute)" if minutes == 1 else f"rate({minutes} minutes)"
    if {schedule["ScheduleExpression"] for schedule in schedules} != {rate}:
        yield f"the schedules are not {rate}, which is what probe takes the tick to be"
    if probe["Timeout"] < min(60 * minutes, 900):
        yield "probe ends before its tick"
    if probe.get("ReservedConcurrentExecutions", values["Shards"]) != values["Shards"]:
        yield "probe has not the concurrency of its shards"

    if "FlushTrigger" in resources and values["KafkaAuthentication"] == "iam":
        group = resources["FlushTrigger"]["Properties"]["AmazonManagedKafkaEventSourceConfig"]["ConsumerGroupId"]
        statements = resources["FlushRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
        (resource,) = (one["Resource"] for one in statements if one["Sid"] == "KeepOffsets")
        text = group if isinstance(group, str) else group["Fn::Sub"]
        if text not in json.dumps(resource):
            yield f"the trigger may not keep offsets for its group {text}"

"""Mistakes, each of which has to be found: without them nobody would know that anything is."""

from typing import NamedTuple

# The statement of probe about its secrets, up to its resources.
PROBES_SECRETS = """\
                - HasKafkaSecret
                - Sid: ReadSecrets
                  Effect: Allow
                  Action: secretsmanager:GetSecretValue
                  Resource:
                    - !Ref KafkaSecretArn
"""


class Mutation(NamedTuple):
    """A change to the template, the resource that has to be complained about, and a word of the complaint."""

    name: str
    old: str
    new: str
    resource: str
    complaint: str


MUTATIONS = [
    Mutation("BatchSize misspelt", "BatchSize: 10000", "BatchSizze: 10000", "FlushTrigger", "E3002"),
    Mutation("BatchSize too large", "BatchSize: 10000", "BatchSize: 20000", "FlushTrigger", "E3034"),
    Mutation(
        "StartingPosition of another system",
        "StartingPosition: !Ref StartingPosition",
        "StartingPosition: EARLIEST",
        "FlushTrigger",
        "E3031",
    ),
    Mutation(
        "authentication misspelt, for one choice of it",
        "Trigger: SASL_SCRAM_256_AUTH",
        "Trigger: SASL_SCRAM_265_AUTH",
        "FlushTrigger",
        "E3030",
    ),
    Mutation(
        "property misspelt, with pollers only", "MinimumPollers: 1", "MinimunPollers: 1", "FlushTrigger", "E3002"
    ),
    Mutation("too little memory", "MemorySize: 256", "MemorySize: 64", "ProbeFunction", "E3034"),
    Mutation("OFF without quotes", '{ Mode: "OFF" }', "{ Mode: OFF }", "ProbeSchedule0", "E30"),
    Mutation(
        "reference to what is not always there",
        "    Condition: IsInVpc\n    Properties:\n      Description: Lets Lambda connect",
        "    Condition: IsTraced\n    Properties:\n      Description: Lets Lambda connect",
        "ProbeRole",
        "refers to NetworkPolicy, which is not made",
    ),
    Mutation(
        "every secret for probe",
        PROBES_SECRETS,
        PROBES_SECRETS.replace("- !Ref KafkaSecretArn", '- "*"'),
        "ProbeRole",
        "wider than it has to be",
    ),
    Mutation("every action of Kafka", "Action: kafka:DescribeClusterV2", "Action: kafka:*", "FlushRole", "no action"),
    Mutation("statement without a Sid", "- Sid: WriteTraces\n            Effect", "- Effect", "TracingPolicy", "a Sid"),
    Mutation(
        "policy of AWS's own",
        "- !If [IsTraced, !Ref TracingPolicy, !Ref AWS::NoValue]",
        "- arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess",
        "StatsRole",
        "not of this stack",
    ),
    Mutation(
        "secret that may not be read",
        "- !If [StatsIsForTokens, !Ref StatsTokensSecretArn, !Ref AWS::NoValue]",
        "- !Ref AWS::NoValue",
        "StatsRole",
        "secretsmanager:GetSecretValue is for",
    ),
    Mutation(
        "key that may not be used",
        "- !If [HasSecretsKey, !Ref SecretsKeyPolicy, !Ref AWS::NoValue]",
        "",
        "FlushRole",
        "SecretsKeyPolicy does not go with",
    ),
    Mutation("field misspelt", "$.fields.missed", "$.fields.mised", "MissedMetric", "logs no line with"),
    Mutation("variable misspelt", "WM_PROBE_TICK:", "WM_PROBE_TICKS:", "ProbeFunction", "is read by nothing"),
    Mutation(
        "variable empty by mistake",
        "WM_STREAM_SECRET_ARN: !Ref KafkaSecretArn",
        'WM_STREAM_SECRET_ARN: ""',
        "ProbeFunction",
        "or none",
    ),
    Mutation(
        "secret in a variable",
        "WM_DB_SECRET_ARN: !Ref DatabaseSecretArn",
        'WM_DB_SECRET_ARN: !Sub "{{resolve:secretsmanager:${DatabaseSecretArn}}}"',
        "FlushFunction",
        "holds a secret",
    ),
    Mutation(
        "rule left out",
        "RuleCondition: !Equals [!Ref StatsAccess, tokens]",
        'RuleCondition: !Equals [!Ref StatsAccess, ""]',
        "rules",
        "StatsTokensSecretArn has to say",
    ),
]

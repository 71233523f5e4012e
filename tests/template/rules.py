"""The rules forbid what cannot work, each with the reason."""

from space import EXAMPLES
from stacks import Stacks

# What is needed with all defaults.
SERVERS = {name: EXAMPLES[name] for name in ("KafkaBootstrapServers", "KafkaSecretArn", "DatabaseSecretArn")}
SUBNETS = {name: EXAMPLES[name] for name in ("SubnetIds", "SecurityGroupIds")}
DATABASE = {name: EXAMPLES[name] for name in ("DatabaseConnectionString", "DatabaseUser", "DatabaseResourceId")}
KEY = {"SecretsKeyArn": EXAMPLES["SecretsKeyArn"]}
CLUSTER = {"Kafka": "msk", "KafkaBootstrapServers": "", "KafkaClusterArn": EXAMPLES["KafkaClusterArn"]}
MSK = {**SERVERS, **SUBNETS, **CLUSTER}
IAM = {**MSK, "KafkaAuthentication": "iam", "KafkaSecretArn": ""}
NEW = {**IAM, "Kafka": "new-msk-serverless", "KafkaClusterArn": ""}

ALLOWED = [
    SERVERS,
    {**SERVERS, "KafkaAuthentication": "plain"},
    {**SERVERS, "KafkaCaSecretArn": EXAMPLES["KafkaCaSecretArn"]},
    {**SERVERS, **SUBNETS},
    {**SERVERS, "Parts": "probe", "DatabaseSecretArn": ""},
    {**SERVERS, **DATABASE, "DatabaseAuthentication": "iam", "DatabaseSecretArn": ""},
    {**SERVERS, "StatsAccess": "tokens", "StatsTokensSecretArn": EXAMPLES["StatsTokensSecretArn"]},
    MSK,
    IAM,
    {**IAM, "Parts": "probe"},
    {**SERVERS, "TopicPartitions": 12},
    {**SERVERS, "DayRetention": "3650d", "ChunkRetention": "400d"},
    {**MSK, **KEY, "KafkaAuthentication": "scram-sha-512"},
    {**IAM, "KafkaBrokers": "public", "SubnetIds": "", "SecurityGroupIds": ""},
    NEW,
]
# Each with a word of the reason.
FORBIDDEN = [
    ({}, "KafkaBootstrapServers has to say"),
    ({**SERVERS, "KafkaSecretArn": ""}, "where the credentials are"),
    ({**SERVERS, "KafkaAuthentication": "iam", "KafkaSecretArn": ""}, "Only an MSK cluster"),
    ({**SERVERS, "DatabaseSecretArn": ""}, "DatabaseSecretArn has to say"),
    ({**SERVERS, "SubnetIds": EXAMPLES["SubnetIds"]}, "go together"),
    ({**SERVERS, "SecurityGroupIds": EXAMPLES["SecurityGroupIds"]}, "go together"),
    ({**SERVERS, "DayRetention": "3650d"}, "there is a ChunkRetention"),
    ({**SERVERS, "StatsAccess": "tokens"}, "StatsTokensSecretArn has to say"),
    ({**SERVERS, **DATABASE, "DatabaseAuthentication": "iam"}, "there is no DatabaseSecretArn"),
    *(
        ({**SERVERS, **DATABASE, "DatabaseAuthentication": "iam", "DatabaseSecretArn": "", name: ""}, name)
        for name in DATABASE
    ),
    ({**MSK, "KafkaClusterArn": ""}, "KafkaClusterArn has to say"),
    ({**MSK, "KafkaAuthentication": "plain"}, "An MSK cluster takes"),
    ({**MSK, "KafkaAuthentication": "scram-sha-256"}, "An MSK cluster takes"),
    ({**MSK, "KafkaAuthentication": "scram-sha-512"}, "KMS key of your own"),
    ({**MSK, "KafkaCaSecretArn": EXAMPLES["KafkaCaSecretArn"]}, "certificates of MSK are public"),
    ({**IAM, "KafkaSecretArn": EXAMPLES["KafkaSecretArn"]}, "there is no KafkaSecretArn"),
    ({**IAM, "SubnetIds": "", "SecurityGroupIds": ""}, "The brokers are private"),
    ({**NEW, "SubnetIds": "", "SecurityGroupIds": ""}, "needs SubnetIds to be in"),
    ({**NEW, "KafkaAuthentication": "mtls", "KafkaSecretArn": EXAMPLES["KafkaSecretArn"]}, "MSK Serverless takes only"),
    ({**NEW, "KafkaBrokers": "public"}, "MSK Serverless has only"),
    ({**NEW, "TopicPartitions": 12}, "the topic is made by hand"),
    ({**NEW, "Parts": "probe"}, "to a cluster that is there"),
]


def problems(stacks: Stacks) -> list[str]:
    """What is forbidden though it works, or allowed though it does not, or forbidden by nothing of the above."""
    model, found, stated = stacks.model, [], set()
    defaults = {name: parameter["Default"] for name, parameter in model.parameters.items()}
    for choice, reason in [*((choice, "") for choice in ALLOWED), *FORBIDDEN]:
        reasons = [one for rule in model.rules.values() for one in model.breaks(rule, {**defaults, **choice})]
        stated.update(reasons)
        if bool(reason) != any(reason in one for one in reasons):
            found.append(f"{choice} is {'allowed' if reason else 'forbidden'}: {reasons}")
    every = {one["AssertDescription"] for rule in model.rules.values() for one in rule["Assertions"]}
    return found + [f"nothing shows that this is demanded: {one}" for one in sorted(every - stated)]

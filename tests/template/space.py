"""The values that the parameters can have together."""

import math
from collections.abc import Callable, Iterator
from functools import cache

from model import Model

ACCOUNT = "us-east-1:123456789012"
SECRET = f"arn:aws:secretsmanager:{ACCOUNT}:secret"
# Values for parameters that are empty by default, or of which CloudFormation does not know all.
EXAMPLES = {
    "Urls": "https://example.com,https://example.org",
    "TickMinutes": 5,
    "KafkaBootstrapServers": "a.example.com:9093,b.example.com:9093",
    "KafkaClusterArn": f"arn:aws:kafka:{ACCOUNT}:cluster/monitor/01234567-89ab-cdef-0123-456789abcdef-1",
    "KafkaSecretArn": f"{SECRET}:AmazonMSK_kafka-a1b2c3",
    "KafkaCaSecretArn": f"{SECRET}:kafka-ca-a1b2c3",
    "TopicPartitions": 12,
    "ConsumerGroupId": "another-group",
    "MaximumPollers": 5,
    "FailureBucketArn": "arn:aws:s3:::failed-batches",
    "DatabaseSecretArn": f"{SECRET}:database-a1b2c3",
    "StatsDatabaseSecretArn": f"{SECRET}:database-reader-a1b2c3",
    "DatabaseConnectionString": "postgres://database.example.com:5432/monitor",
    "DatabaseUser": "flush",
    "StatsDatabaseUser": "stats",
    "DatabaseResourceId": "cluster-ABCDEFGHIJKL",
    "DatabaseCaSecretArn": f"{SECRET}:database-ca-a1b2c3",
    "ChunkRetention": "400d",
    "DayRetention": "3650d",
    "StatsTokensSecretArn": f"{SECRET}:tokens-a1b2c3",
    "StatsCorsOrigins": "https://example.com",
    "SubnetIds": "subnet-01234567,subnet-89abcdef",
    "SecurityGroupIds": "sg-01234567",
    "SecretsKeyArn": f"arn:aws:kms:{ACCOUNT}:key/01234567-89ab-cdef-0123-456789abcdef",
    "AlarmTopicArn": f"arn:aws:sns:{ACCOUNT}:alarms",
}


class Undecided(Exception):
    """A parameter that has to have a value to go on."""


class Chosen(dict):
    """Values of parameters, as far as they are chosen."""

    def __missing__(self, name: str):
        raise Undecided(name)


class Rule:
    """A rule, asked once for each of the values that it is about."""

    def __init__(self, model: Model, rule: dict):
        self.model, self.rule, self.names = model, rule, sorted(model.uses(rule))
        self.answers = {}

    def allows(self, asked: tuple) -> bool:
        if asked not in self.answers:
            self.answers[asked] = not self.model.breaks(self.rule, dict(zip(self.names, asked)))
        return self.answers[asked]


class Tied:
    """Parameters that rules tie together, and the combinations of their values that are left."""

    def __init__(self, names: tuple, rows: list[tuple]):
        self.names, self.rows = names, rows

    @cache
    def only(self, names: frozenset) -> "Tied":
        """The same as far as these names go."""
        places = [place for place, name in enumerate(self.names) if name in names]
        return Tied(pick(self.names, places), list(dict.fromkeys(pick(row, places) for row in self.rows)))

    def where(self, name: str, value) -> "Tied":
        """Those in which one has this value."""
        if name not in self.names:
            return self
        place = self.names.index(name)
        return Tied(self.names, [row for row in self.rows if row[place] == value])


class Space:
    """All combinations of values that conditions and rules tell apart and rules allow."""

    def __init__(self, model: Model):
        self.model = model
        self.domains = {name: self.domain(name) for name in model.parameters}
        rules = [Rule(model, rule) for rule in model.rules.values()]
        self.ties = [self.search(names, rules) for names in tied(rules)]

    def domain(self, name: str) -> list:
        """The values to try: every one that CloudFormation lists, or the default and the example."""
        parameter = self.model.parameters[name]
        example = EXAMPLES.get(name)
        is_told_apart = any(name in self.model.uses(part) for part in (self.model.conditions, self.model.rules))
        if not is_told_apart:
            return [parameter["Default"] if example is None else example]
        values = parameter.get("AllowedValues", [parameter["Default"], example])
        if None in values:
            raise ValueError(f"{name} is told apart, so it needs an example")
        return values

    def search(self, names: list[str], rules: list[Rule]) -> Tied:
        """The combinations of parameters that are tied together."""
        rows = [()]
        for last, name in enumerate(names):
            rows = [(*row, value) for row in rows for value in self.domains[name]]
            # Each rule as soon as all that it is about has a value.
            for rule in rules:
                places = [names.index(one) for one in rule.names if one in names]
                if max(places, default=None) == last:
                    rows = [row for row in rows if rule.allows(pick(row, places))]
        return Tied(tuple(names), rows)

    def count(self) -> int:
        """How many combinations there are."""
        ruled = {name for tie in self.ties for name in tie.names}
        free = (len(domain) for name, domain in self.domains.items() if name not in ruled)
        return math.prod(len(tie.rows) for tie in self.ties) * math.prod(free)

    def complete(self, chosen: dict) -> dict:
        """A whole combination of which `chosen` is a part."""
        values = {name: domain[-1] for name, domain in self.domains.items()}
        for tie in self.ties:
            for name in tie.names:
                tie = tie.where(name, chosen[name]) if name in chosen else tie
            values |= zip(tie.names, tie.rows[0])
        return values | chosen

    def explore(self, names: set[str], outcome: Callable) -> Iterator[tuple[dict, object]]:
        """Each outcome that an allowed combination has, and what it takes. `outcome` is asked again with one value more
        for as long as it needs one, so that only those are told apart that make a difference."""
        pending = [(Chosen(), [tie.only(frozenset(names)) for tie in self.ties])]
        while pending:
            chosen, ties = pending.pop()
            try:
                result = outcome(chosen)
            except Undecided as undecided:
                name = undecided.args[0]
                for value in self.domains[name]:
                    left = [tie.where(name, value) for tie in ties]
                    if all(tie.rows for tie in left):
                        pending.append((Chosen(chosen, **{name: value}), left))
            else:
                yield chosen, result


def tied(rules: list[Rule]) -> list[list[str]]:
    """The parameters of rules, those together that rules tie together, in the order of the rules."""
    groups = []
    for rule in rules:
        joined = [group for group in groups if set(group) & set(rule.names)]
        names = dict.fromkeys([*(name for group in joined for name in group), *rule.names])
        groups = [*(group for group in groups if group not in joined), list(names)]
    return groups


def pick(row: tuple, places: list[int]) -> tuple:
    return tuple(row[place] for place in places)

"""The different resources that the template can make, and what a linter says to them."""

import json
import math
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import NamedTuple

from cfnlint.api import lint
from cfnlint.config import ManualArgs

from model import Model, key
from space import Space

# A linter looks at each resource against each other, so that many small templates take it less time than a large one.
AT_A_TIME = 100


class Variant(NamedTuple):
    """A resource or an output as CloudFormation makes it, what it refers to that is not made, and what it takes."""

    body: dict
    dangling: list[str]
    chosen: dict


class Stacks:
    """All stacks that the template can make, by the variants of each of their parts."""

    def __init__(self, text: str):
        self.model = Model(text)
        self.space = Space(self.model)

    @cache
    def outcomes(self, name: str) -> list[Variant]:
        """What each combination makes of a resource or an output, as far as it makes a difference."""
        return list(self.explore(name))

    def variants(self, name: str) -> list[Variant]:
        """The different ones of these."""
        return list({key(made.body): made for made in self.outcomes(name)}.values())

    def explore(self, name: str) -> Iterator[Variant]:
        thing = (self.model.resources | self.model.outputs)[name]
        made = {part: inner for part, inner in thing.items() if part != "Condition"}
        resources = self.model.resources
        others = [condition_of(resources[target]) for target in self.model.refers_to(thing) & resources.keys()]

        def outcome(values):
            if not self.model.exists(thing, values):
                return None
            body = self.model.resolve(made, values)
            is_made = {
                target: target in resources and self.model.exists(resources[target], values)
                for target in self.model.refers_to(body)
            }
            return body, [target for target in is_made if not is_made[target]]

        for chosen, result in self.space.explore(self.model.uses([thing, others]), outcome):
            if result:
                yield Variant(*result, chosen)

    def together(self, name: str, parts: dict) -> Iterator[dict]:
        """What parts of the template come to together, wherever a resource is made."""
        resource = self.model.resources[name]

        def outcome(values):
            return self.model.exists(resource, values) and self.model.resolve(parts, values)

        for _, made in self.space.explore(self.model.uses([condition_of(resource), parts]), outcome):
            if made:
                yield made

    def dangling(self, names: set[str]) -> list[str]:
        """References of resources and outputs to what is not made along with them."""
        return [
            f"{name} refers to {target}, which is not made with {made.chosen}"
            for name in sorted(names)
            for made in self.outcomes(name)
            for target in made.dangling
        ]

    def whole(self, values: dict) -> dict:
        """The stack that is made with these values."""
        return {
            section: {
                name: self.model.resolve({part: inner for part, inner in thing.items() if part != "Condition"}, values)
                for name, thing in things.items()
                if self.model.exists(thing, values)
            }
            for section, things in (("Resources", self.model.resources), ("Outputs", self.model.outputs))
        }

    def wholes(self) -> tuple[list[tuple[dict, dict]], list[str]]:
        """Whole stacks in which each condition is true once and false once, and the conditions that never are."""
        candidates, never = [], []
        for condition in self.model.conditions:
            outcomes = self.space.explore(
                self.model.uses({"Condition": condition}), lambda values: self.model.holds(condition, values)
            )
            ways = {truth: self.space.complete(chosen) for chosen, truth in outcomes}
            never += [f"{condition} is never {truth}" for truth in (True, False) if truth not in ways]
            candidates += ways.values()
        truths = [{(name, self.model.holds(name, values)) for name in self.model.conditions} for values in candidates]
        wholes, unseen = [], set().union(*truths)
        while unseen:
            best = max(range(len(candidates)), key=lambda place: len(truths[place] & unseen))
            unseen -= truths[best]
            wholes.append((self.whole(candidates[best]), candidates[best]))
        return wholes, never

    def lint(self, names: set[str]) -> Iterator[str]:
        """What a linter says to all variants of these resources, with one of each other beside them."""
        firsts = {name: next(self.explore(name), None) for name in self.model.resources}
        base = {name: made.body for name, made in firsts.items() if made}
        others = {}
        for name in names & base.keys():
            different = {key(linted(made.body)): made.body for made in self.variants(name)}
            different.pop(key(linted(base[name])))
            others |= {f"{name}Variant{place}": body for place, body in enumerate(different.values())}
        # Those of one resource in different templates, so that what is wrong with it is seen in the first.
        templates = math.ceil(len(others) / AT_A_TIME) or 1
        for turn in range(templates):
            yield from problems({"Resources": base | dict(islice(others.items(), turn, None, templates))})


def condition_of(thing: dict) -> dict:
    return {"Condition": thing["Condition"]} if "Condition" in thing else {}


def linted(body: dict) -> dict:
    """A resource without what to a linter is a text like any other, so that it need not see it with each."""
    plain = {"Environment", "ManagedPolicyArns"}
    return body | {"Properties": {name: part for name, part in body["Properties"].items() if name not in plain}}


def problems(template: dict) -> list[str]:
    """What a linter says to a template."""
    # A line for each resource, so that the linter's lines tell which it means.
    lines, names = ['{"AWSTemplateFormatVersion": "2010-09-09"'], [""]
    for section, things in template.items():
        lines.append(f', "{section}": {{')
        names.append(section)
        for place, (name, body) in enumerate(things.items()):
            lines.append(f'{"," if place else ""} "{name}": {json.dumps(body)}')
            names.append(name)
        lines.append("}")
        names.append("")
    matches = lint("\n".join([*lines, "}"]), config=ManualArgs(regions=["us-east-1"]))
    return [f"{names[match.linenumber - 1]}: {match.rule.id} {match.message}" for match in matches]

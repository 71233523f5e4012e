"""Checks template.yaml as CloudFormation will see it: for all values of its parameters, not for one.

usage: check.py TEMPLATE
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import functions
import permissions
import policies
import rules
import stacks
from mutations import MUTATIONS, Mutation
from stacks import Stacks

started = time.monotonic()
failed = 0


def report(name: str, problems: list[str]) -> None:
    """A line for a check, and below it what is wrong."""
    global failed
    failed += bool(problems)
    print(f"{'✗' if problems else '✓'} {name} ({time.monotonic() - started:.0f} s)", flush=True)
    for problem in problems[:20]:
        print(f"    {problem}")
    if len(problems) > 20:
        print(f"    and {len(problems) - 20} more")


def check(text: str) -> None:
    made = Stacks(text)
    names = set(made.model.resources)
    count = sum(len(made.variants(name)) for name in names)
    report(
        f"{made.space.count():,} combinations make {count:,} different resources: what these refer to is there",
        made.dangling(names | made.model.outputs.keys()),
    )
    report(f"rules: {len(rules.FORBIDDEN)} combinations forbidden, {len(rules.ALLOWED)} allowed", rules.problems(made))
    report(
        "policies: every action and resource by name, every statement with a Sid and a reason",
        policies.problems(made, names) + list(policies.uncommented(text)),
    )
    report("permissions: the roles let functions do what their variables say", permissions.problems(made, names))
    report("environment: every variable is read, and there where it is needed", functions.problems(made, names))
    report("metrics: the functions log what is counted", list(functions.of_metrics(made)))
    wholes, never = made.wholes()
    report(f"conditions: all {len(made.model.conditions)} are true at times and false at times", never)
    report(
        f"schedules and groups agree in {len(wholes)} whole stacks",
        [problem for stack, values in wholes for problem in functions.of_whole(stack, values)],
    )
    report(
        f"cfn-lint of {len(wholes)} whole stacks",
        [problem for stack, _ in wholes for problem in stacks.problems(stack)],
    )
    report("cfn-lint of all different resources", list(made.lint(names)))


def complaints(text: str, mutation: Mutation) -> Iterator[str]:
    """All that is said to the resource of a mutation."""
    made, names = Stacks(text), {mutation.resource}
    if mutation.resource == "rules":
        yield from (f"rules: {problem}" for problem in rules.problems(made))
        return
    if mutation.resource.endswith("Metric"):
        yield from functions.of_metrics(made)
        return
    yield from policies.problems(made, names)
    yield from permissions.problems(made, names)
    yield from functions.problems(made, names)
    yield from made.dangling(names)
    yield from made.lint(names)


def check_mutation(text: str, mutation: Mutation) -> None:
    others = []
    for complaint in complaints(text.replace(mutation.old, mutation.new), mutation):
        if complaint.startswith(mutation.resource) and mutation.complaint in complaint:
            report(f"mutation is found: {mutation.name}", [])
            return
        others.append(complaint)
    report(f"mutation is not found: {mutation.name}", [*others, "perhaps the template no longer has what it changes"])


if __name__ == "__main__":
    template = Path(sys.argv[1]).read_text()
    check(template)
    for one in MUTATIONS:
        check_mutation(template, one)
    sys.exit(f"{failed} checks failed" if failed else 0)

"""What OpenAPI has no words for: which parameters go together. Requests that break this are answered with 400, rightly, though
each of their parameters is as described; so they are not sent."""

import re

import schemathesis

INSTANT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
LENGTH = re.compile(r"[1-9]\d{0,3}[smhd]", re.ASCII)
# The example of the description: the end of a page in the order of URLs. Another cursor is that of another answer.
CURSOR = "eyJzb3J0IjoidXJsIiwidmFsdWUiOm51bGwsInVybCI6IiIsIm1vbml0b3IiOiIifQ"


def is_negative(case):
    """Whether the request is meant to be a bad one, which may have any text."""
    return case.meta is not None and case.meta.generation.mode.is_negative


def as_number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return text


@schemathesis.hook
def filter_case(context, case):
    query = case.query or {}

    def given(name, form):
        value = query.get(name)
        return isinstance(value, str) and bool(form.fullmatch(value))

    # Years that timestamps have, and lengths that reach back to some of these.
    if any(name in query and not given(name, INSTANT) for name in ("from", "to")):
        return is_negative(case)
    if "window" in query and not (given("window", LENGTH) or query["window"] == "all"):
        return is_negative(case)
    percentiles = query.get("percentiles")
    percentiles = percentiles.split(",") if isinstance(percentiles, str) else percentiles
    if isinstance(percentiles, (list, tuple)) and len({as_number(one) for one in percentiles}) < len(percentiles):
        return is_negative(case)
    starts, ends = given("from", INSTANT), given("to", INSTANT)
    if starts and ends and query["from"] >= query["to"]:
        return False
    if "window" in query and ("from" in query or "to" in query):
        return False
    if query.get("compare") == "previous" and not (given("window", LENGTH) or (starts and ends)):
        return False
    # A series of a long window has more buckets than an answer may have.
    if "bucket" in query and (starts or ends or given("window", LENGTH)):
        return False
    if "cursor" in query and (query["cursor"] != CURSOR or query.get("sort", "url") != "url"):
        return False
    return case.path != "/badge.svg" or bool(query.get("url") or query.get("monitor"))

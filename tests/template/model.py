"""What CloudFormation makes of the template for given values of its parameters."""

import json
import logging
import re
from collections.abc import Iterator

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

# It warns that it could not tell AWS how it was used.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

PLACEHOLDER = re.compile(r"\$\{([A-Za-z0-9:.]+)\}")
NO_VALUE = object()


class NoManagedPolicies:
    """Stands for the names of AWS's managed policies, none of which is used."""

    def load(self) -> dict:
        return {}


def translate(text: str) -> dict:
    """The CloudFormation template that SAM makes of a SAM template."""
    source = yaml_parse(text)
    source["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    return transform(source, {}, NoManagedPolicies())


class Model:
    """A CloudFormation template, of which parts can be evaluated."""

    def __init__(self, text: str):
        self.template = translate(text)
        self.parameters = self.template["Parameters"]
        self.conditions = self.template["Conditions"]
        self.rules = self.template["Rules"]
        self.resources = self.template["Resources"]
        self.outputs = self.template["Outputs"]

    def holds(self, expression, values) -> bool:
        """The truth of a condition or a rule's function. Looks no further than it has to."""
        match expression:
            case str(name):
                return self.holds(self.conditions[name], values)
            case {"Condition": name}:
                return self.holds(self.conditions[name], values)
            case {"Fn::Not": [inner]}:
                return not self.holds(inner, values)
            case {"Fn::And": inner}:
                return all(self.holds(one, values) for one in inner)
            case {"Fn::Or": inner}:
                return any(self.holds(one, values) for one in inner)
            case {"Fn::Equals": [left, right]}:
                return str(self.resolve(left, values)) == str(self.resolve(right, values))
            case {"Fn::Contains": [members, value]}:
                return self.resolve(value, values) in members
        raise ValueError(f"cannot tell whether this holds: {expression}")

    def breaks(self, rule: dict, values) -> list[str]:
        """What a rule has against these values."""
        if not self.holds(rule["RuleCondition"], values):
            return []
        return [one["AssertDescription"] for one in rule["Assertions"] if not self.holds(one["Assert"], values)]

    def exists(self, thing: dict, values) -> bool:
        """Whether a resource or an output is made."""
        return "Condition" not in thing or self.holds(thing["Condition"], values)

    def resolve(self, node, values):
        """The same with branches taken and parameters put in. What only AWS knows stays a function."""
        match node:
            case {"Fn::If": [condition, then, otherwise]}:
                return self.resolve(then if self.holds(condition, values) else otherwise, values)
            case {"Ref": "AWS::NoValue"}:
                return NO_VALUE
            case {"Ref": name} if name in self.parameters:
                return values[name]
            case {"Fn::FindInMap": path}:
                found = self.template["Mappings"]
                for key in path:
                    found = found[self.resolve(key, values)]
                return found
            case {"Fn::Sub": argument}:
                return self.substitute(argument, values)
            case {"Fn::Split": [separator, text]}:
                text = self.resolve(text, values)
                return text.split(separator) if isinstance(text, str) else {"Fn::Split": [separator, text]}
            case {"Fn::Join": [separator, parts]}:
                parts = self.resolve(parts, values)
                is_known = isinstance(parts, list) and all(isinstance(part, str) for part in parts)
                return separator.join(parts) if is_known else {"Fn::Join": [separator, parts]}
            case {"Fn::Select": [index, members]}:
                members = self.resolve(members, values)
                return members[int(index)] if isinstance(members, list) else {"Fn::Select": [index, members]}
            case dict():
                resolved = ((key, self.resolve(value, values)) for key, value in node.items())
                return {key: value for key, value in resolved if value is not NO_VALUE}
            case list():
                return [one for one in (self.resolve(one, values) for one in node) if one is not NO_VALUE]
        return node

    def substitute(self, argument, values):
        """Fn::Sub, with what is known put in."""
        text, own = argument if isinstance(argument, list) else (argument, {})
        own = {name: self.resolve(value, values) for name, value in own.items()}

        def put_in(match):
            name = match[1]
            value = values[name] if name in self.parameters else own.get(name)
            return match[0] if value is None or isinstance(value, dict) else str(value)

        text = PLACEHOLDER.sub(put_in, text)
        own = {name: value for name, value in own.items() if isinstance(value, dict)}
        if not PLACEHOLDER.search(text):
            return text
        return {"Fn::Sub": [text, own] if own else text}

    def uses(self, node) -> set[str]:
        """The parameters that a part of the template can depend on."""
        found = set()
        for kind, name in mentions(node):
            if kind == "condition":
                found |= self.uses(self.conditions[name])
            elif name in self.parameters:
                found.add(name)
        return found

    def refers_to(self, node) -> set[str]:
        """The resources that a part of the template mentions."""
        return {name for kind, name in mentions(node) if kind == "name" and self.is_resource(name)}

    def is_resource(self, name: str) -> bool:
        return name not in self.parameters and not name.startswith("AWS::")


def mentions(node) -> Iterator[tuple[str, str]]:
    """The conditions, parameters and resources that are mentioned in a part of the template."""
    match node:
        case {"Ref": str(name)}:
            yield "name", name
        case {"Fn::GetAtt": [str(name), *_]}:
            yield "name", name
        case {"Fn::If": [str(name), *_]}:
            yield "condition", name
        case {"Condition": str(name)}:
            yield "condition", name
        case {"Fn::Sub": argument}:
            text, own = argument if isinstance(argument, list) else (argument, {})
            yield from (("name", name.split(".")[0]) for name in PLACEHOLDER.findall(text) if name not in own)
        case {"DependsOn": names}:
            yield from (("name", name) for name in ([names] if isinstance(names, str) else names))
    if isinstance(node, dict | list):
        for inner in node.values() if isinstance(node, dict) else node:
            yield from mentions(inner)


def key(node) -> str:
    """Equal for what is equal."""
    return json.dumps(node, sort_keys=True)

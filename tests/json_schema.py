"""JSON Schema, as far as this pack's schemas use it, and documents spoiled in one place."""

import json
import math

KNOWN = {
    "$schema", "$defs", "title", "description", "$ref", "anyOf", "const", "enum", "type", "minimum", "maximum", "properties", "required",
    "additionalProperties", "items", "minItems", "maxItems",
}  # fmt: skip


def fits(value, schema, root):
    """Whether a value fits what this schema uses of JSON Schema; unknown words of it are an error here."""
    assert schema.keys() <= KNOWN, schema.keys()
    if "$ref" in schema:
        return fits(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    if "anyOf" in schema:
        return any(fits(value, part, root) for part in schema["anyOf"])
    if "const" in schema:
        return value == schema["const"]
    if "enum" in schema:
        return value in schema["enum"]
    kinds = {"string": str, "number": (int, float), "integer": int, "boolean": bool, "null": type(None), "array": list, "object": dict}
    wanted = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if not any(isinstance(value, kinds[kind]) and (kind == "boolean" or not isinstance(value, bool)) for kind in wanted):
        return False
    if isinstance(value, dict):
        inside = schema["properties"]
        assert schema["additionalProperties"] is False
        return set(schema["required"]) <= value.keys() <= inside.keys() and all(fits(part, inside[name], root) for name, part in value.items())
    if isinstance(value, list):
        long_enough = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf)
        return long_enough and all(fits(part, schema["items"], root) for part in value)
    if isinstance(value, (int, float)):
        return schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf)
    return True


def places(value, where=()):
    """Paths to everything in a document."""
    yield where
    for name, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(part, (*where, name))


def spoiled(document, where, wrong):
    document = json.loads(json.dumps(document))
    at = document
    for name in where[:-1]:
        at = at[name]
    at[where[-1]] = wrong
    return document

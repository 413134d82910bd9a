"""Makes calls for a test: a JSON line in names one, a JSON line out answers it.

Each response of CodePipeline is held against botocore's own model of it, so
that what no client would have noticed fails the test too.
"""
import datetime
import json
import re
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from botocore import xform_name


class Violation(Exception):
    pass


def expect(good, path, rule, value):
    if not good:
        raise Violation(f"{path}: {rule}: {json.dumps(value)[:200]}")


def check_size(shape, path, size, value):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    expect(low is None or size >= low, path, f"under {low}", value)
    expect(high is None or size <= high, path, f"over {high}", value)


def check_structure(shape, path, value):
    expect(isinstance(value, dict), path, "no structure", value)
    members = {m.serialization.get("name", name): m for name, m in shape.members.items()}
    for name in shape.required_members:
        expect(value.get(name) is not None, path, f"{name} is missing", value)
    for name, given in value.items():
        expect(name in members, path, f"{name} is not in the model", given)
        if given is not None:  # to clients null is the same as none
            check(members[name], f"{path}.{name}", given)


def check_list(shape, path, value):
    expect(isinstance(value, list), path, "no list", value)
    check_size(shape, path, len(value), value)
    for i, element in enumerate(value):
        check(shape.member, f"{path}[{i}]", element)


def check_map(shape, path, value):
    expect(isinstance(value, dict), path, "no map", value)
    check_size(shape, path, len(value), value)
    for key, element in value.items():
        check(shape.key, f"{path}.{key}", key)
        check(shape.value, f"{path}.{key}", element)


def check_string(shape, path, value):
    expect(isinstance(value, str), path, "no string", value)
    check_size(shape, path, len(value), value)
    expect(not shape.enum or value in shape.enum, path, f"none of {shape.enum}", value)
    pattern = shape.metadata.get("pattern")
    expect(not pattern or re.fullmatch(pattern, value), path, f"does not match {pattern}", value)


def check_integer(shape, path, value):
    expect(isinstance(value, int) and not isinstance(value, bool), path, "no integer", value)
    check_size(shape, path, value, value)


def check_boolean(_, path, value):
    expect(isinstance(value, bool), path, "no boolean", value)


def check_timestamp(_, path, value):
    # AWS JSON 1.1 writes seconds; the parser would take text as well.
    expect(isinstance(value, (int, float)) and not isinstance(value, bool), path, "no number", value)


CHECKS = {
    "structure": check_structure, "list": check_list, "map": check_map, "string": check_string,
    "integer": check_integer, "long": check_integer, "boolean": check_boolean, "timestamp": check_timestamp,
}


def check(shape, path, value):
    CHECKS[shape.type_name](shape, path, value)


def check_response(operation, body, parsed):
    """Checks the body too: the parser drops what the model does not have."""
    if operation.output_shape is None:
        expect(not body.strip(), operation.name, "a body where the model has none", body.decode())
        return
    check(operation.output_shape, operation.name, json.loads(body or b"{}"))
    bare = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
    report = ParamValidator().validate(bare, operation.output_shape)
    expect(not report.has_errors(), operation.name, report.generate_report(), None)


def check_error(operation, code):
    codes = [shape.error_code for shape in operation.error_shapes]
    expect(code in codes, operation.name, f"an error that is none of {codes}", code)


class Caller:
    def __init__(self):
        once = Config(parameter_validation=False, retries={"max_attempts": 0})
        self.pipelines = boto3.client("codepipeline", config=once)
        self.s3 = boto3.client("s3", config=Config(retries={"max_attempts": 0}))
        self.pipelines.meta.events.register("after-call.codepipeline", self.keep)
        self.body = b""

    def keep(self, http_response, **_):
        self.body = http_response.content

    def call(self, operation, request):
        method = xform_name(operation)
        if not hasattr(self.pipelines, method):
            getattr(self.s3, method)(**request)
            return {}
        model = self.pipelines.meta.service_model.operation_model(operation)
        try:
            parsed = getattr(self.pipelines, method)(**request)
        except ClientError as error:
            check_error(model, error.response["Error"]["Code"])
            raise
        check_response(model, self.body, parsed)
        return parsed


def written(value):
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(type(value))


def answer(caller, line):
    try:
        asked = json.loads(line)
        return {"response": caller.call(asked["operation"], asked["request"])}
    except ClientError as error:
        return {"error": error.response["Error"]["Code"], "message": error.response["Error"].get("Message", "")}
    except Violation as violation:
        return {"error": "ResponseInvalid", "message": str(violation)}
    except Exception as error:  # the test shall say what went wrong, not that the program ended
        return {"error": "ClientFailed", "message": repr(error)}


def knows(member):
    model = boto3.client("codepipeline", region_name="us-east-1").meta.service_model
    return member in model.shape_for("ActionDeclaration").members


def main():
    if sys.argv[1:2] == ["--knows"]:
        sys.exit(0 if knows(sys.argv[2]) else 1)
    caller = Caller()
    for line in sys.stdin:
        print(json.dumps(answer(caller, line), default=written), flush=True)


if __name__ == "__main__":
    main()

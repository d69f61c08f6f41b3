"""Settings inside `provider` and `node_config`, which Ray hands on to the cloud unread."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from cluster.checks.findings import Finding, fail, ok, warn
from trainables.errors import unknown_name

PLACEHOLDERS = ("YOUR-", "REGISTRY/", "example.org", "203.0.113.")
# What Ray's providers read (ray/autoscaler/_private/{aws,gcp,local}); another key would be ignored in silence
SHARED = "type use_internal_ips worker_liveness_check worker_rpc_drain disable_node_updaters foreground_node_launch"
CLOUD = f"{SHARED} region availability_zone cache_stopped_nodes use_external_head_ip disable_launch_config_check"
KNOWN_KEYS = {
    "aws": f"{CLOUD} security_group key_pair cloudwatch aws_credentials".split(),
    "gcp": f"{CLOUD} project_id gcp_credentials".split(),
    "local": f"{SHARED} head_ip worker_ips external_head_ip coordinator_address".split(),
}


def check_provider(content: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield findings about the `provider` section and each node type's `node_config`."""
    provider = content["provider"]
    kind = provider.get("type")
    if kind not in KNOWN_KEYS:
        yield warn("provider", f"{kind!r} is not checked here", f"known: {', '.join(KNOWN_KEYS)}")
        return
    for key in provider:
        if key not in KNOWN_KEYS[kind]:
            yield fail("provider", unknown_name(f"key in provider ({kind})", key, KNOWN_KEYS[kind]), "mend the name")
    for place, value in placeholders(content):
        yield fail("placeholder", f"{place} is still {value!r}", "put your own value there")
    yield from {"aws": _aws, "gcp": _gcp, "local": _local}[kind](content)


def placeholders(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield (position, text) of every placeholder of our example files that is still there."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from placeholders(inner, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from placeholders(inner, f"{place}[{number}]")
    elif isinstance(value, str) and any(mark in value for mark in PLACEHOLDERS):
        yield place, value


def _node_configs(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    types = content.get("available_node_types") or {}
    return {name: node_type.get("node_config") or {} for name, node_type in types.items()}


def _aws(content: Mapping[str, Any]) -> Iterator[Finding]:
    provider = content["provider"]
    region = provider.get("region", "")
    zones = [zone.strip() for zone in str(provider.get("availability_zone", "")).split(",") if zone.strip()]
    if any(not zone.startswith(region) for zone in zones):
        yield fail("provider", f"{', '.join(zones)} are not zones of {region}", "name zones of the region")
    if provider.get("cache_stopped_nodes", True):
        yield warn("provider", "idle nodes are stopped and keep paying for their disks", "cache_stopped_nodes: false")
    for name, config in _node_configs(content).items():
        if "ImageId" not in config:
            text = f"{name} has no ImageId: Ray's default is Ubuntu 18.04, too old for this PyTorch"
            yield fail("image", text, "name one as in cluster/cluster.yaml")
        if name != content.get("head_node_type") and "InstanceMarketOptions" not in config:
            yield warn("cost", f"{name} is on demand, at full price", "InstanceMarketOptions: {MarketType: spot}")
        yield from _problems(name, aws_problems(config))


def _problems(name: str, problems: list[str] | None) -> Iterator[Finding]:
    if problems is None:
        fix = "pip install boto3 (AWS) or google-api-python-client (Google Cloud): `ray up` needs it too"
        yield fail("node_config", f"{name} cannot be checked: the cloud's Python client is not installed", fix)
        return
    if not problems:
        yield ok("node_config", f"{name} is what the cloud's published interface expects")
    for problem in problems:
        yield fail("node_config", f"{name}: {problem}", "see the provider's reference for the field")


def aws_problems(config: Mapping[str, Any]) -> list[str] | None:
    """Return what EC2's RunInstances would refuse, by botocore's copy of its interface; None without botocore."""
    try:
        session, validate = import_module("botocore.session"), import_module("botocore.validate")
    except ImportError:
        return None
    shape = session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    request = {**config, "MinCount": 1, "MaxCount": 1}
    # Ray's own key
    request.pop("SubnetIds", None)
    lines = str(validate.ParamValidator().validate(request, shape).generate_report()).splitlines()
    return [*(line.strip() for line in lines if line.strip()), *_outside_enum(config, shape, "")]


def _outside_enum(value: Any, shape: Any, place: str) -> Iterator[str]:
    """Yield values that are not among those which the interface lists; botocore itself lets them pass."""
    if shape.type_name == "structure" and isinstance(value, Mapping):
        for key in value.keys() & shape.members.keys():
            yield from _outside_enum(value[key], shape.members[key], f"{place}.{key}".lstrip("."))
    elif shape.type_name == "list" and isinstance(value, list):
        for inner in value:
            yield from _outside_enum(inner, shape.member, place)
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield unknown_name(place, value, shape.enum)


def _gcp(content: Mapping[str, Any]) -> Iterator[Finding]:
    provider = content["provider"]
    if not provider.get("project_id"):
        yield fail("provider", "no project_id", "name your project")
    if not str(provider.get("availability_zone", "")).startswith(str(provider.get("region"))):
        yield fail("provider", f"{provider.get('availability_zone')} is no zone of {provider.get('region')}", "mend it")
    for name, config in _node_configs(content).items():
        resources = content["available_node_types"][name].get("resources") or {}
        accelerated = str(config.get("machineType", "")).startswith(("g2-", "g4-", "a2-", "a3-", "a4-"))
        gpus = accelerated or bool(config.get("guestAccelerators"))
        if gpus and not resources.get("GPU"):
            yield fail("resources", f"{name} has GPUs but Ray is not told of them", 'resources: {"CPU": 4, "GPU": 1}')
        if gpus and (config.get("scheduling") or {}).get("onHostMaintenance") != "TERMINATE":
            yield fail("node_config", f"{name}: a machine with GPUs cannot migrate", "onHostMaintenance: TERMINATE")
        yield from _problems(name, gcp_problems(config))


@cache
def _compute_schemas() -> dict[str, Any] | None:
    """Return the schemas of Compute Engine's interface, as google-api-python-client has them; None without it."""
    found = importlib.util.find_spec("googleapiclient")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "discovery_cache" / "documents" / "compute.v1.json"
    schemas: dict[str, Any] = json.loads(path.read_text())["schemas"]
    return schemas


def gcp_problems(config: Mapping[str, Any]) -> list[str] | None:
    """Return what Compute Engine's instances.insert would refuse; None without google-api-python-client."""
    schemas = _compute_schemas()
    return None if schemas is None else list(_against(config, {"$ref": "Instance"}, schemas, ""))


def _against(value: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield problems of a value by Google's discovery format: objects, lists, enums and the type of each value."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    kinds = {"object": Mapping, "array": list, "string": str, "boolean": bool, "integer": (int, str)}
    wanted = kinds.get(schema.get("type", "any"), object)
    if schema.get("format") in ("int64", "uint64"):
        # 64-bit numbers are sent as text, and numbers are taken too
        wanted = (int, str)
    if not isinstance(value, wanted):  # type: ignore[arg-type]
        yield f"{place} must be of type {schema['type']}, not {type(value).__name__}"
    elif isinstance(value, Mapping) and "properties" in schema:
        for key, inner in value.items():
            if key not in schema["properties"]:
                yield unknown_name(f"field of {place or 'an instance'}", key, schema["properties"])
            else:
                yield from _against(inner, schema["properties"][key], schemas, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _against(inner, schema["items"], schemas, place)
    elif "enum" in schema and value not in schema["enum"]:
        yield unknown_name(place, value, schema["enum"])


def _local(content: Mapping[str, Any]) -> Iterator[Finding]:
    provider = content["provider"]
    workers = provider.get("worker_ips") or []
    if provider.get("head_ip") in workers:
        yield fail("provider", f"{provider['head_ip']} is head and worker", "the head takes trials too: list it once")
    if len(set(workers)) < len(workers):
        yield fail("provider", "a host stands twice in worker_ips", "list each once")
    if not (content.get("auth") or {}).get("ssh_user"):
        yield fail("auth", "no ssh_user", "name the user that all hosts share")

"""The JSON Schema of campaign files, with the parameters of the calculators at hand."""

from __future__ import annotations

from collections.abc import Sequence

from stargen.calculators.contract import CalculatorInfo
from stargen.scheduling.campaign_file import CampaignFile
from stargen.schema import Schema, document_schema, table_schema


def campaign_schema(infos: Sequence[CalculatorInfo]) -> Schema:
    """A schema that completes and checks the parameters of these calculators."""
    schema = document_schema(CampaignFile, "Star-gen campaign")
    job: Schema = schema["properties"]["job"]["items"]
    use: Schema = {"enum": [info.name for info in infos]}
    job["properties"]["use"] |= use
    job["allOf"] = [_if_used(info, {"properties": {"params": _params(info)}}) for info in infos]
    job["properties"]["step"]["items"] = {
        "type": "object",
        "properties": {"use": use},
        "required": ["use"],
        "allOf": [_if_used(info, _with_use(_params(info))) for info in infos],
    }
    return schema


def _if_used(info: CalculatorInfo, then: Schema) -> Schema:
    used = {"properties": {"use": {"const": info.name}}, "required": ["use"]}
    return {"if": used, "then": then}


def _params(info: CalculatorInfo) -> Schema:
    schema = table_schema(info.params)
    return schema | {"description": info.summary} if info.summary else schema


def _with_use(params: Schema) -> Schema:
    return params | {"properties": {"use": {}, **params["properties"]}}

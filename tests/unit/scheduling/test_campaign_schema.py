from stargen.calculators.contract import CalculatorInfo
from stargen.scheduling.campaign_schema import campaign_schema


def test_jobs_and_steps_know_the_installed_calculators():
    schema = campaign_schema([CalculatorInfo("t.one", 1, "m:f", summary="does one thing")])
    job = schema["properties"]["job"]["items"]
    assert job["properties"]["use"]["enum"] == ["t.one"]
    assert job["properties"]["step"]["items"]["required"] == ["use"]
    assert job["allOf"][0]["then"]["properties"]["params"]["description"] == "does one thing"
    assert schema["required"] == ["campaign", "job"]

import json

import pytest

from stargen.cli.starting import _TEMPLATES


def test_init_writes_a_campaign_that_passes_the_check(stargen, here):
    answer = stargen("init", "new")
    assert answer.code == 0
    assert "stargen check new/campaign.toml" in answer.out
    assert stargen("check", "new/campaign.toml", "--config", "new/stargen.toml").code == 0


@pytest.mark.parametrize("template", sorted(_TEMPLATES.glob("*.toml")), ids=lambda p: p.stem)
def test_every_template_is_commented(template):
    lines = template.read_text("utf-8").splitlines()
    assert sum("#" in line for line in lines) >= 5
    assert max(map(len, lines)) <= 100


def test_the_small_template_needs_no_plugin(stargen, here, monkeypatch):
    monkeypatch.setenv("STARGEN_PLUGINS", "none")
    assert stargen("init").code == 0
    assert (here / "campaign.toml").read_text() == (_TEMPLATES / "echo.toml").read_text()
    assert stargen("check", "campaign.toml").code == 0


def test_init_overwrites_nothing(stargen, here):
    (here / "stargen.toml").write_text("# mine\n")
    answer = stargen("init")
    assert answer.code == 2
    assert "stargen.toml is there already" in answer.err
    assert (here / "stargen.toml").read_text() == "# mine\n"
    assert not (here / "campaign.toml").exists()


def test_schemas_are_printed(stargen, monkeypatch):
    monkeypatch.setenv("STARGEN_PLUGINS", "none")
    campaign = json.loads(stargen("schema").out)
    job = campaign["properties"]["job"]["items"]
    assert "echo.source" in job["properties"]["use"]["enum"]
    assert "pool" in json.loads(stargen("schema", "site").out)["properties"]
    assert stargen("schema", "other").code == 2

from pathlib import Path

import pytest
from support.campaigns import lay

from stargen.cli.places import find_folder
from stargen.errors import UserError


def refusal(campaign=None):
    with pytest.raises(UserError) as caught:
        find_folder(campaign)
    return str(caught.value)


def test_the_only_campaign_needs_no_name(campaign):
    assert find_folder(None).root == Path("campaigns/salts")


def test_a_campaign_goes_by_name_folder_or_file(campaign):
    for given in ("salts", "campaigns/salts", "salts.toml"):
        assert find_folder(given).root == Path("campaigns/salts")
    assert find_folder("campaigns/salts/campaign.toml").root.resolve() == campaign.root


def test_in_its_own_folder_it_needs_no_name(campaign, monkeypatch):
    monkeypatch.chdir(campaign.root)
    assert find_folder(None).root == Path()


def test_without_any_campaign_it_says_how_to_make_one(here):
    assert "no campaign has been run here" in refusal()
    assert "stargen up FILE" in refusal()


def test_an_unknown_campaign_names_those_that_are_there(campaign):
    assert "there are: salts" in refusal("sand")


def test_of_several_the_running_one_is_meant(master, here):
    lay(here / "campaigns" / "other")
    assert find_folder(None).root == Path("campaigns/salts")


def test_of_several_at_rest_one_must_be_named(campaign, here):
    lay(here / "campaigns" / "other")
    assert "there are several campaigns here: other, salts" in refusal()
    assert "--campaign other" in refusal()

import json


def test_a_sound_campaign_is_described(stargen, here):
    answer = stargen("check", "salts.toml")
    assert answer.code == 0
    assert "campaign salts" in answer.out
    assert "nothing is wrong" in answer.out
    rows = [line.split() for line in answer.out.splitlines()]
    assert next(r for r in rows if r[:1] == ["make"])[:5] == ["make", "source", "-", "≤", "30"]
    assert "few" in answer.out


def test_a_target_beyond_what_comes_is_pointed_at(stargen, here):
    text = (here / "salts.toml").read_text()
    stop = '[campaign]\nstop = { job = "pass", kept = 31 }\n'
    (here / "salts.toml").write_text(text.replace("[campaign]\n", stop))
    answer = stargen("check", "salts.toml")
    assert answer.code == 0
    assert "stop: pass is to keep 31, but no more than 30 come to it" in answer.out
    (here / "salts.toml").write_text(text.replace("[campaign]\n", stop.replace("pass", "make")))
    answer = stargen("check", "salts.toml")
    assert answer.code == 2
    assert "make keeps at most 30, it never reaches 31" in answer.err


def test_as_json(stargen, here):
    told = json.loads(stargen("check", "salts.toml", "--json").out)
    assert told["campaign"] == "salts"
    assert told["pools"] == ["local"]
    assert [job["name"] for job in told["jobs"]] == ["make", "pass", "few"]
    assert told["jobs"][0] == {
        "name": "make",
        "shape": "source",
        "inputs": [],
        "use": ["echo.source"],
        "candidates_at_most": 30,
        "tasks_at_most": None,
    }


def test_everything_wrong_in_both_files_is_shown(stargen, here):
    (here / "bad.toml").write_text(
        '[campaign]\nname = "x"\n[[job]]\nname = "a"\nuse = "echo.sauce"\n'
        '[[job]]\nname = "b"\ninput = "c"\nuse = "echo.map"\nparams = { second = 1 }\n'
    )
    (here / "stargen.toml").write_text("[pool.local]\nlauncer = 'local'\n")
    answer = stargen("check", "bad.toml")
    assert answer.code == 2
    for words in (
        "stargen.toml:2: pool.local.launcer: unknown key",
        "bad.toml:5: job.use: there is no calculator echo.sauce",
        "did you mean echo.source?",
        "bad.toml:8: job.input: there is no job c",
        "bad.toml:10: job.params.second: unknown key",
        "did you mean seconds?",
    ):
        assert words in answer.err


def test_resources_that_this_site_lacks_are_refused(stargen, here):
    text = (here / "salts.toml").read_text()
    (here / "big.toml").write_text(text.replace('name = "pass"', 'name = "pass"\ngrain = 1'))
    (here / "site.toml").write_text("[pool.local.limits]\ncores = 1\nmemory_gib = 1\n")
    wide = text.replace('use = "echo.map"', 'use = "echo.map"\nresources = { memory_gib = 2 }')
    (here / "big.toml").write_text(wide)
    answer = stargen("check", "big.toml", "--config", "site.toml")
    assert answer.code == 2
    assert "2 GiB of memory (the most is 1)" in answer.err
    assert stargen("check", "absent.toml").err.startswith("error: absent.toml: cannot be read")

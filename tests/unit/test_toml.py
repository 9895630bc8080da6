import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from stargen.errors import CampaignError, ConfigError
from stargen.toml import Document, key_text, read_document

TEXT = '''# a comment with [brackets] and key = 1
title = "a # b"

[owner]
name = "x"
"quoted key".sub = 1
many = """
[not.a.table]
x = 1
"""

[[job]]
name = "first"
params = { a = 1, b = { c = 2 } }

[[job]]
name = "second"
list = [
  1,   # one
  { deep = [ "]", '}' ] },
]
[[job.step]]
use = "one"
[[job.step]]
use = "two"
[job.step.more]
x = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("owner",), 4),
        (("owner", "name"), 5),
        (("owner", "quoted key", "sub"), 6),
        (("owner", "many"), 7),
        (("job",), 12),
        (("job", 0), 12),
        (("job", 0, "params", "b", "c"), 14),
        (("job", 1), 16),
        (("job", 1, "list", 0), 19),
        (("job", 1, "list", 1, "deep", 1), 20),
        (("job", 1, "step", 0, "use"), 23),
        (("job", 1, "step", 1, "use"), 25),
        (("job", 1, "step", 1, "more", "x"), 27),
    ],
)
def test_every_key_has_its_line(path, line):
    assert Document(TEXT).line(path) == line


def test_an_unknown_key_stands_where_its_table_stands():
    document = Document(TEXT)
    assert document.line(("job", 1, "step", 1, "absent")) == 24
    assert document.line(("absent",)) is None


def test_a_syntax_error_says_line_column_and_what_was_found():
    with pytest.raises(CampaignError) as caught:
        Document("[a]\nb = = 1\n", "x.toml", CampaignError)
    assert caught.value.line == 2
    assert "x.toml:2" in str(caught.value)
    assert "column 5" in str(caught.value)
    assert "found: b = = 1" in str(caught.value)


def test_a_file_that_is_no_text_is_an_error_of_the_reader(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_document(tmp_path / "a.toml", ConfigError)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_document(tmp_path / "absent.toml", ConfigError)


def test_key_text_leaves_out_list_indices():
    assert key_text(("job", 2, "step", 0, "use")) == "job.step.use"


_KEYS = st.text("abc-_19é\"' .", min_size=1, max_size=4)
_STRINGS = st.text("ab\"'\\\n#[]{}=,é", max_size=8)
_VALUES = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | _STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=6,
)


def _quoted(text):
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{plain}"'


def _written(value, multiline):
    match value:
        case bool():
            return str(value).lower()
        case str() if multiline and '"""' not in value and not value.endswith('"'):
            return '"""\n' + value.replace("\\", "\\\\") + '"""'
        case str():
            return _quoted(value)
        case list():
            gap = ",\n # , ] comment\n" if multiline else ", "
            return "[" + gap.join(_written(v, multiline) for v in value) + "]"
        case dict():
            pairs = (f"{_quoted(k)} = {_written(v, False)}" for k, v in value.items())
            return "{" + ", ".join(pairs) + "}"
        case _:
            return repr(value)


@given(
    st.lists(st.dictionaries(_KEYS, _VALUES, max_size=4), max_size=4),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
def test_lines_are_right_for_any_document(tables, multiline, newline):
    lines, expected = [], {}
    for index, table in enumerate(tables):
        lines.append("[[t]]  # table")
        expected["t", index] = len(lines)
        for key, value in table.items():
            text = f"{_quoted(key)} = {_written(value, multiline)}"
            expected["t", index, key] = len(lines) + 1
            lines += text.split("\n")
    text = newline.join(lines)
    document = Document(text)
    assert document.values == tomli.loads(text)
    assert {path: document.line(path) for path in expected} == expected

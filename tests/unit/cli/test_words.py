import pytest

from stargen.cli.words import show_table, table_lines


def test_columns_are_as_wide_as_they_must_be(capsys):
    show_table(["name", ">n"], [["a", "1,000"], ["longer", "2"]])
    assert capsys.readouterr().out.splitlines() == [
        "name        n",
        "a       1,000",
        "longer      2",
    ]


REASONS = ["too many elements 186, atoms too close 82", "odd 1"]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (None, ["job     in  dropped", f"screen  12  {REASONS[0]}", "unique   3  odd 1"]),
        (
            40,
            [
                "job     in  dropped",
                "screen  12  too many elements 186, atoms",
                "            too close 82",
                "unique   3  odd 1",
            ],
        ),
        (
            30,
            [
                "job     in",
                "screen  12",
                "  dropped: too many elements",
                "    186, atoms too close 82",
                "unique   3",
                "  dropped: odd 1",
            ],
        ),
    ],
)
def test_a_table_fits_the_screen(width, expected):
    rows = [["screen", "12", REASONS[0]], ["unique", "3", REASONS[1]]]
    lines = list(table_lines(["job", ">in", "dropped"], rows, width))
    assert [line for _, line in lines] == expected
    assert max(number for number, _ in lines) == 2

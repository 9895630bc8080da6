from stargen.cli.words import show_table


def test_columns_are_as_wide_as_they_must_be(capsys):
    show_table(["name", ">n"], [["a", "1,000"], ["longer", "2"]])
    assert capsys.readouterr().out.splitlines() == [
        "name        n",
        "a       1,000",
        "longer      2",
    ]

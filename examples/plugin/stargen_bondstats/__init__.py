"""Star-gen calculator: bond statistics, an example of a package of one's own."""

"""Helpers that several test files share: `from support.crystals import rocksalt`."""

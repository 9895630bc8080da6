"""Campaigns over several hosts: network namespaces, each with an sshd of its own."""

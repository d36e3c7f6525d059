"""Asks a language model about leads, where an operator wants that: docs/decisions/0010.

A lead has the rules' answer from the moment it is found (``leads.enrichment``), so nothing here is ever waited for:
what fails, is refused, or costs too much leaves a lead as it is.
"""

"""The independent bench of `distil_theory.audit`: losses whose truth is known by construction.

`named` are losses as people write them, and faults that public trackers report; `composed` are drawn at random from
parts. `labels` verifies every label with the exact divergences of the core, without the auditor; `table` compares the
auditor's reports with the labels.
"""

"""A referee report: the ledger as it stands on this machine, as one HTML file that needs nothing else, and as PDF.

`python -m distil_theory report --out DIR` verifies the claims and writes what it found:

============================== =======================================================================================
`report.html`                  verdicts, scopes, each step of the derivations, pictures, certificates; no other file, no
                               network: mathematics is MathML, pictures and certificates are inside
`report.pdf`                   the same on paper, set by Typst
`report.json`                  the verdicts for programs, as `verify --json` writes them
`certificates/`, `checker.py`  what the claims rest on, and the small program that checks it
============================== =======================================================================================
"""

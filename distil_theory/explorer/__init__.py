r"""The explorer: a page on which one drags a student and an expert and sees what a step of distillation does.

    python -m distil_theory explore

opens it in the browser. *One step*: three answers, so student and expert are two points of a triangle. The arrow is
the direction of the chosen objective, the shading says for which experts a step would lower the return, the curve is
the return against the step size. *Many steps*: the named instances of more than one state, with the local, the full
and the prefix-weighted gradient side by side.

Every number comes from the library and not from the page: signs are decided in rationals or in ball arithmetic as in
a certificate (`certify.signs`), and the verdict names the claim of the ledger that promises it, if one does. What one
has found can be taken away: as a certificate that `python -m distil_theory check` accepts, as a Hypothesis `@example`.

The server is that of the standard library, and the page is written by hand. A notebook server would bring neither
points that can be dragged nor keys that move them, but a hundred packages; so the explorer needs nothing but the core
of this library and a browser, and no network. Data flow: `presets` makes an instance, `reading` turns what the page
sends into exact numbers or says what is wrong with it, `looking` answers, `rulings` asks the ledger, `nearest` the
gallery, `exporting` writes files, `server` listens.
"""

"""One module per family of figures: compute, save tidy numbers, plot from the saved numbers."""

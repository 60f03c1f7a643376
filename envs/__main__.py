"""`python -m envs`: the registered environments and the failure that each exposes."""

from rich.console import Console
from rich.table import Table

from envs import IDS

table = Table("id", "exposes", title="Gymnasium views of the named instances")
for name, make in IDS.items():
    table.add_row(f"distil_theory/{name}-v0", make().exposes)
Console().print(table)

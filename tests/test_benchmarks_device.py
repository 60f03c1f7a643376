"""The sweep on a device, rehearsed on the processor: both sides agree, a wrong one stops it, rates add up."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

from benchmarks import device, mdps
from benchmarks.settings import QUICK
from benchmarks.timing import DisagreementError


def test_rates_speedup_and_share_are_of_the_same_times():
    rows = pd.DataFrame(device.measure("cpu", QUICK, {6: 1})).set_index(["metric", "contender"])["value"]
    host, card = "numpy, one core", "torch on cpu"
    assert rows["speedup", card] == pytest.approx(rows["rate", card] / rows["rate", host])
    floor = mdps.bytes_per_mdp(QUICK.mdp_shape) / rows["bandwidth", card]
    assert rows["share", card] == pytest.approx(floor * rows["rate", card])


def test_a_large_batch_repeats_the_same_problems(monkeypatch):
    monkeypatch.setattr(device, "DRAWN", 4)
    for contender in device.contenders(10, QUICK.mdp_shape, "cpu").values():
        v = contender.read(contender.run())[0]
        assert v.shape[-1] == 10
        assert np.array_equal(v[..., 4:], v[..., [0, 1, 2, 3, 0, 1]])
        assert not np.array_equal(v[..., 0], v[..., 1])


@pytest.mark.parametrize("quantity", range(5))
def test_a_device_that_computes_something_else_stops_it(monkeypatch, quantity):
    honest = device.contenders

    def wrong(*args):
        host, (name, card) = honest(*args).items()
        off = card._replace(read=lambda r: tuple(x + 1e-9 * (k == quantity) for k, x in enumerate(card.read(r))))
        return dict([host, (name, off)])

    monkeypatch.setattr(device, "contenders", wrong)
    with pytest.raises(DisagreementError, match=rf"^{mdps.QUANTITIES[quantity]}: torch on cpu differs"):
        device.measure("cpu", QUICK, {6: 1})


def test_the_command_writes_its_table_and_needs_a_card_unless_told_otherwise(tmp_path, capsys):
    device.main(["--device", "cpu", "--quick", "--out", str(tmp_path)])
    table = pd.read_csv(tmp_path / "device.csv")
    assert (tmp_path / "device.json").exists()
    assert set(table.metric) == {"bandwidth", "rate", "speedup", "share"}
    assert np.isfinite(table.value).all()
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(SystemExit, match="2"):
            device.main(["--out", str(tmp_path / "never")])
        assert "torch sees no cuda device here" in capsys.readouterr().err
        assert not (tmp_path / "never").exists()
